"""The training command with a classifier that is shared out and speakers that are drawn, in processes of its own."""

from __future__ import annotations

import csv
import subprocess
import sys

import pytest
import torch
from torch.testing import assert_close
from unit.train.commands import ENVIRONMENT, train_command

OPTIONS = ["--train.partial_softmax", "0.5", "--train.steps", "6", "--train.log_every", "1", "--optimizer.lr", "1e-4"]


def of_run(exp, column):
    with (exp / "training.csv").open() as file:
        return [float(line[column]) for line in csv.DictReader(file)]


def in_two_processes(*arguments):
    module = train_command(*arguments)[2:]
    launch = [sys.executable, "-m", "spk.bin.launch", "--nproc", "2", *module]
    return subprocess.run([*map(str, launch)], env=ENVIRONMENT, capture_output=True, text=True, check=False)


def test_two_processes_with_half_of_the_speakers_each_train_as_one_and_one_goes_on(
    train, system_yaml, data_dir, tmp_path
):
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    assert train(system_yaml, data_dir, whole, *OPTIONS).returncode == 0
    sharded = [*OPTIONS, "--train.shard_classifier", "true"]
    done = in_two_processes(system_yaml, data_dir, shared, *sharded)
    assert done.returncode == 0, done.stderr
    assert "loss dam_softmax: this process holds speakers 1 to 3 of 6; a batch meets its own and 0.5" in done.stderr
    for column in ("loss", "gradient_norm"):
        assert of_run(shared, column) == pytest.approx(of_run(whole, column), rel=1e-3)
    for exp in (whole, shared):
        with (exp / "cosines.csv").open() as file:
            rows = [[int(cell) for cell in line] for line in list(csv.reader(file))[1:]]
        assert [(step, sum(counts)) for step, *counts in rows] == [(step, 4) for step in range(1, 7)]
    checkpoints = shared / "checkpoints"
    assert sorted(path.name for path in checkpoints.iterdir()) == [
        *(f"step-0000000{step}.{rest}" for step in (3, 6) for rest in ("pt", "rows-0-3.pt", "rows-3-6.pt"))
    ]
    in_one_go = torch.load(checkpoints / "step-00000006.pt", weights_only=True)["embedder"]
    for options, files in ((sharded, ["pt", "rows-0-6.pt"]), (OPTIONS, ["pt"])):
        (checkpoints / "step-00000006.pt").unlink()
        (shared / "final.pt").unlink()
        again = train(system_yaml, data_dir, shared, *options)
        assert again.returncode == 0, again.stderr
        assert "going on from step 3 of 6" in again.stderr
        assert sorted(path.name for path in checkpoints.glob("step-00000006.*")) == [
            f"step-00000006.{rest}" for rest in files
        ]
        for name, value in torch.load(checkpoints / "step-00000006.pt", weights_only=True)["embedder"].items():
            assert_close(value, in_one_go[name], rtol=1e-3, atol=1e-4)
