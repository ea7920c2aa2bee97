"""What happens to training when the machine, a neighbour or the user interferes: one line, and nothing lost."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from faults.conftest import fill
from recipes.processes import descendants
from unit.train.commands import ENVIRONMENT, train_command
from unit.train.conftest import write_matrices

from spk.bin.extract_embeddings import main as extract_embeddings
from spk.train.checkpoint import list_checkpoints
from spk.train.lock import locked
from spk.train.schedules import SCHEDULES
from spk.train.trainer import Trainer


def start(command, stderr: Path) -> subprocess.Popen:
    return subprocess.Popen([*map(str, command)], env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=stderr.open("w"))


def wait_until(happened, process: subprocess.Popen, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, f"ended with {process.returncode}"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def interrupt(trainer: Trainer, batches) -> None:
    """In the place of a step of training."""
    raise KeyboardInterrupt


def weights(exp: Path) -> dict[str, torch.Tensor]:
    return torch.load(exp / "final.pt", weights_only=True)["embedder"]


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "flipped":
        content[len(content) // 2] ^= 1
    path.write_bytes({"empty": b"", "truncated": content[: len(content) // 2], "flipped": content}[how])


@pytest.mark.parametrize("how", ["empty", "truncated", "flipped"])
def test_a_damaged_checkpoint_is_said_and_the_one_before_ends_with_the_same_weights(
    how, train, system_yaml, data_dir, exp
):
    expected = weights(exp)
    (exp / "final.pt").unlink()
    damage(exp / "checkpoints/step-00000012.pt", how)
    finished = train(system_yaml, data_dir, exp)
    assert finished.returncode == 0
    assert "step-00000012.pt: cannot be read as a checkpoint" in finished.stderr
    assert "going back to the checkpoint before it" in finished.stderr
    assert "going on from step 9 of 12" in finished.stderr
    assert same(weights(exp), expected)


def test_a_flipped_bit_in_the_final_network_is_refused_at_extraction(data_dir, exp, monkeypatch):
    damage(exp / "final.pt", "flipped")
    monkeypatch.setattr(sys, "argv", ["extract_embeddings", "--device", "cpu", *map(str, (exp, data_dir, exp / "out"))])
    with pytest.raises(SystemExit) as refused:
        extract_embeddings()
    assert f"error: {exp}/final.pt: cannot be read as a checkpoint (its part " in refused.value.code
    assert "\n" not in refused.value.code


def test_a_damaged_run_json_is_one_line(train, system_yaml, data_dir, exp):
    (exp / "run.json").write_text('{"data": ')
    refused = train(system_yaml, data_dir, exp)
    assert refused.returncode == 1
    assert f"{exp}/run.json: is damaged" in refused.stderr


def test_accepted_changes_hold_from_the_step_on_that_the_history_says(train, system_yaml, data_dir, exp):
    changed = ["--optimizer.lr", "0.001", "--batch.size", "3", "--train.steps", "20"]
    refused = train(system_yaml, data_dir, exp, *changed)
    assert refused.returncode == 1
    assert "batch.size: 4 -> 3; optimizer.lr: 0.003 -> 0.001; train.steps: 12 -> 20" in refused.stderr
    assert "--accept-changes true" in refused.stderr
    first = (exp / "training.csv").read_text()
    finished = train(system_yaml, data_dir, exp, "--accept-changes", "true", *changed)
    assert finished.returncode == 0
    assert "going on from step 12 of 20" in finished.stderr
    rows = (exp / "training.csv").read_text()
    assert rows.startswith(first)
    [entry] = json.loads((exp / "run.json").read_text())["history"]
    assert entry["step"] == 12
    assert "optimizer.lr: 0.003 -> 0.001" in entry["changed"]
    config = yaml.safe_load((exp / "config.yaml").read_text())
    assert (config["batch"]["size"], config["optimizer"]["lr"], config["train"]["steps"]) == (3, 0.001, 20)
    # The rate at step 14 is that of a run of 20 steps at the new rate.
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=0.001)
    schedule = SCHEDULES.build("schedule", config["schedule"], optimizer=optimizer, total_steps=20, steps_per_epoch=1)
    for _ in range(14):
        optimizer.step()
        schedule.step()
    names, *values = [line.split(",") for line in rows.splitlines()]
    [at_14] = [row for row in values if row[0] == "14"]
    assert float(at_14[names.index("lr")]) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-5)
    # What was accepted is the run's config now.
    assert train(system_yaml, data_dir, exp, *changed).returncode == 0


def test_changes_accepted_just_before_a_kill_hold_when_it_goes_on(
    train, system_yaml, data_dir, exp, tmp_path, monkeypatch
):
    whole, changed = tmp_path / "whole", ["--optimizer.lr", "0.001", "--train.steps", "20"]
    shutil.copytree(exp, whole)
    assert train(system_yaml, data_dir, whole, "--accept-changes", "true", *changed).returncode == 0
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", interrupt)
        assert train(system_yaml, data_dir, exp, "--accept-changes", "true", *changed).returncode == 1
    assert not (exp / "final.pt").exists()
    finished = train(system_yaml, data_dir, exp, *changed)
    assert "going on from step 12 of 20" in finished.stderr
    assert same(weights(exp), weights(whole))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--network.channels", "0.5"], "cannot go on with this change (network.channels: 0.25 -> 0.5)"),
        (["--seed", "4"], "cannot go on with this change (seed: 3 -> 4)"),
        (["--loss.name", "aam_softmax", "--train.steps", "20"], "(loss.name: dam_softmax -> aam_softmax)"),
        (["--evaluation.backend", "euclidean", "--train.steps", "20"], "evaluation.backend.name: cosine -> euclidean)"),
        (["--optimizer.lr", "0.001"], "its last checkpoint is of step 12, and the run now has 12 steps"),
    ],
)
def test_a_change_that_no_checkpoint_goes_on_with_is_refused_though_accepted(
    options, message, train, system_yaml, data_dir, exp
):
    before = {path: path.read_bytes() for path in sorted(exp.rglob("*")) if path.is_file() and path.name != ".lock"}
    refused = train(system_yaml, data_dir, exp, "--accept-changes", "true", *options)
    assert refused.returncode == 1
    assert message in refused.stderr
    after = {path: path.read_bytes() for path in sorted(exp.rglob("*")) if path.is_file() and path.name != ".lock"}
    assert {path for path in after if after[path] != before.get(path)} <= {exp / "training.csv"}
    assert before.keys() <= after.keys()


def test_other_data_is_refused_though_changes_are_accepted(train, system_yaml, data_dir, exp):
    names, matrices = read_matrices(data_dir)
    write_matrices(data_dir, dict(zip(names[:-1], matrices[:-1], strict=True)))
    refused = train(system_yaml, data_dir, exp, "--accept-changes", "true", "--train.steps", "20")
    assert refused.returncode == 1
    assert "was begun with other data (feats.scp, utt2num_frames, utt2spk" in refused.stderr


def read_matrices(data_dir: Path):
    from spk.data.ark import FeatureReader

    reader = FeatureReader(data_dir / "feats.scp")
    return reader.utterances, [reader.whole(index) for index in range(len(reader))]


def test_too_large_a_batch_names_what_to_lower(system_yaml, data_dir, tmp_path):
    command = train_command(system_yaml, data_dir, tmp_path / "exp", "--batch.crop_frames", "300000")
    limit = 9 * 2**29  # of addresses, of which torch's libraries take half
    done = subprocess.run(
        [*map(str, command)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "error: out of memory (" in done.stderr
    assert "lower batch.size (4) or batch.crop_frames (300000)" in done.stderr


def test_a_living_run_is_named_what_is_left_of_a_killed_one_is_waited_for_and_a_killed_reader_is_one_line(
    train, system_yaml, data_dir, tmp_path
):
    exp, said, options = tmp_path / "exp", tmp_path / "said", ["--train.workers", "1", "--train.steps", "3000"]
    process = start(train_command(system_yaml, data_dir, exp, *options), said)
    wait_until((exp / "checkpoints/step-00000003.pt").exists, process)
    [reader] = descendants(process.pid)[1:]
    refused = train(system_yaml, data_dir, exp, *options)
    assert refused.returncode == 1
    assert f"is in use by process {process.pid} on {os.uname().nodename} since {time.strftime('%Y-')}" in refused.stderr
    os.kill(reader, signal.SIGSTOP)  # so that it cannot notice yet
    process.kill()
    process.wait()
    last = list_checkpoints(exp / "checkpoints")[-1][0]
    waiting = start(train_command(system_yaml, data_dir, exp, *options), said)
    wait_until(lambda: f"waiting for what is left of process {process.pid}" in said.read_text(), waiting)
    os.kill(reader, signal.SIGKILL)
    wait_until(lambda: f"going on from step {last} of 3000" in said.read_text(), waiting)
    wait_until(lambda: list_checkpoints(exp / "checkpoints")[-1][0] > last, waiting)
    [reader] = descendants(waiting.pid)[1:]
    os.kill(reader, signal.SIGKILL)
    assert waiting.wait(30) == 1
    assert "Traceback" not in said.read_text()
    assert "a process that reads training data was killed" in said.read_text().splitlines()[-1]
    assert "lower train.workers" in said.read_text().splitlines()[-1]


@pytest.mark.parametrize("where", ["validate", "save"])
def test_a_stop_that_comes_while_it_validates_or_saves_loses_nothing(
    where, train, trained, system_yaml, data_dir, tmp_path, monkeypatch
):
    original, exp = getattr(Trainer, where), tmp_path / "exp"

    def stopped(trainer):
        if trainer.step in (4, 6):
            os.kill(os.getpid(), signal.SIGTERM)
        return original(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, where, stopped)
        with pytest.MonkeyPatch.context() as exits:
            exits.setattr(sys, "argv", ["train", *map(str, train_command(system_yaml, data_dir, exp)[3:])])
            from spk.bin.train import main

            with pytest.raises(SystemExit) as ended:
                main()
    step = {"validate": 4, "save": 6}[where]
    assert ended.value.code == 143
    assert list_checkpoints(exp / "checkpoints")[-1][0] == step
    finished = train(system_yaml, data_dir, exp)
    assert f"going on from step {step} of 12" in finished.stderr
    assert same(weights(exp), weights(trained))


def test_a_full_disk_under_the_logs_is_one_line_and_the_run_goes_on(
    train, system_yaml, data_dir, tmp_path, disk_of, monkeypatch
):
    exp, said, options = disk_of("2m") / "exp", tmp_path / "said", ["--train.log_every", "1", "--train.steps", "3000"]
    options += ["--train.save_every", "4", "--train.keep_checkpoints", "1", "--validation.every", "1000"]
    process = start(train_command(system_yaml, data_dir, exp, *options), said)
    wait_until((exp / "checkpoints/step-00000004.pt").exists, process)
    fill(exp.parent)
    assert process.wait(60) == 1
    text = said.read_text()
    assert "Traceback" not in text
    assert f"{exp}/" in text.splitlines()[-1]
    assert "the disk is full; free some space and run the same command again, it carries on" in text.splitlines()[-1]
    (exp.parent / "filler").unlink()
    last = list_checkpoints(exp / "checkpoints")[-1][0]
    monkeypatch.setattr(Trainer, "train_step", interrupt)
    assert f"going on from step {last} of 3000" in train(system_yaml, data_dir, exp, *options).stderr


def test_training_does_not_measure_time_by_a_clock_that_jumps(train, system_yaml, data_dir, tmp_path, monkeypatch):
    now = time.time()
    hours = iter(range(0, -10_000, -1))
    monkeypatch.setattr(time, "time", lambda: now + 3600 * next(hours))
    assert train(system_yaml, data_dir, tmp_path / "exp").returncode == 0
    names, *rows = [line.split(",") for line in (tmp_path / "exp/training.csv").read_text().splitlines()]
    assert all(0 < float(row[names.index("crops_per_second")]) < 1e6 for row in rows)


def test_a_second_run_is_refused_and_the_log_of_the_first_stays(system_yaml, data_dir, tmp_path, shell):
    exp = tmp_path / "exp"
    (exp / "log").mkdir(parents=True)
    (exp / "log/train.log").write_text("what the first says\n")
    with locked(exp):
        done = shell(f"train --ngpu 0 --config {system_yaml} {data_dir} {exp}")
    assert done.returncode == 1
    assert f"{exp} is in use by process {os.getpid()} on " in done.stderr.splitlines()[-1]
    assert (exp / "log/train.log").read_text() == "what the first says\n"
