"""Options of the program that extracts embeddings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from spk.bin import extract_embeddings

STEP = Path(__file__).parents[3] / "steps" / "extract_embeddings"
ARGUMENTS = ["--batch-frames", "0", "exp", "data", "out"]


def test_a_batch_of_no_frames_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["extract_embeddings", *ARGUMENTS])
    with pytest.raises(SystemExit, match="--batch-frames takes a number of at least 1, not 0"):
        extract_embeddings.main()
    step = subprocess.run([STEP, *ARGUMENTS], capture_output=True, text=True)
    assert step.returncode == 1 and "--batch-frames takes a number of at least 1, not '0'" in step.stderr
