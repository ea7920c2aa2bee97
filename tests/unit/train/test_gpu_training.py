"""The benchmark for GPUs runs whole, in its tiny form on the CPU."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from unit.train.commands import ENVIRONMENT, ROOT


def test_the_benchmark_for_gpus_measures_both_ways_in_its_tiny_form(tmp_path):
    script, file = ROOT / "tests/benchmarks/gpu_training.py", tmp_path / "tables.json"
    command = [sys.executable, script, "--smoke", "--networks", "fast_resnet34", "--json", file]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (table,) = json.loads(file.read_text())["tables"]
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    assert [row["way"].split(",")[0] for row in rows] == [*["plain PyTorch"] * 3, "ours"]
    for row in rows:
        assert row["500 epochs, hours"] * 3600 * row["crops/s"] == pytest.approx(500 * 599_400)
        assert row["speed"] * row["s a step"] == pytest.approx(rows[0]["s a step"])
    assert rows[3]["/ plain, bfloat16, on the GPU"] * rows[3]["s a step"] == pytest.approx(rows[2]["s a step"])
