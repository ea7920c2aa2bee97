"""The training command, for a process of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def train_command(system_yaml, data_dir, exp, *overrides):
    return [
        *(sys.executable, "-m", "spk.bin.train", "--device", "cpu", "--config", system_yaml, *overrides),
        *(data_dir, exp),
    ]
