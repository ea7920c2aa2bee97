"""Training in several processes: any number of them goes on from a checkpoint, stops together, and says one thing."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest
import torch
import torch.distributed as dist
import yaml
from rank_processes import on_ranks
from torch.testing import assert_close
from unit.train.commands import ENVIRONMENT, ROOT, train_command
from unit.train.conftest import SYSTEM

from spk.bin.train import train
from spk.collectives import ALONE, Group
from spk.errors import InputError
from spk.train import parallel
from spk.train.trainer import Trainer

STEPS = {
    "optimizer": {"name": "sgd", "lr": 0.01},  # Adam divides small gradients by their own size, and rounding with them
    "loss": {"name": "triplet", "mining": "rank", "hardest": 0.5},
    "curriculum": {"probability": {"start": 0.1, "end": 0.5}},
    "batch": {"size": 6, "utterances_per_speaker": 2, "crop_frames": 20},  # 3 speakers: 1 and 2
    "augmentation": {"spec_augment": {"time_width": 5}},
    "validation": {"speakers": 0},
}


def run_until(last: int, group: Group, system_yaml: Path, data_dir: Path, exp: Path) -> list[list[int]]:
    """Train, and end without a word after step `last`, as if killed there; the utterances of each batch.

    In float64: near a kink of a ReLU, what float32 rounds otherwise moves the gradient by a hundredth.
    """
    options = argparse.Namespace(
        config=str(system_yaml), device="cpu", accept_changes="false", data=str(data_dir), exp=str(exp)
    )
    batches = []
    begin, after_look = Trainer.begin, Trainer.after_look

    def begin_in_float64(trainer: Trainer) -> None:
        features_of = trainer.features_of
        trainer.embedder.double()
        trainer.loss.double()
        trainer.features_of = lambda crops: features_of(crops).double()
        begin(trainer)

    def and_stop(trainer: Trainer) -> None:
        after_look(trainer)
        batches.append(trainer.last_batch.utterances.tolist())
        if trainer.step == last:
            raise StopIteration

    with contextlib.ExitStack() as held:
        held.enter_context(mock.patch.object(Trainer, "begin", begin_in_float64))
        held.enter_context(mock.patch.object(Trainer, "after_look", and_stop))
        held.enter_context(contextlib.suppress(StopIteration))
        train(options, [], group, held)
    return batches


def two_one_two(group: Group, system_yaml: Path, data_dir: Path, exp: Path) -> list[list[list[int]]]:
    """Steps 1 to 4 by two processes, to 7 by one, which dies on its way, from 7 again and to the end by two."""
    batches = [run_until(4, group, system_yaml, data_dir, exp)]
    if group.rank == 0:
        batches.append(run_until(7, ALONE, system_yaml, data_dir, exp))
    group.any_rank(False)
    batches.append(run_until(100, group, system_yaml, data_dir, exp))
    return batches


def test_a_run_of_two_then_one_then_two_processes_is_that_of_one(system_yaml, data_dir, tmp_path):
    system_yaml.write_text(yaml.safe_dump(SYSTEM | STEPS))
    whole = run_until(100, ALONE, system_yaml, data_dir, tmp_path / "whole")
    first, other = on_ranks(two_one_two, 2, tmp_path, system_yaml, data_dir, tmp_path / "elastic")
    # Checkpoints lie at steps 3 and 6.
    assert first == [whole[:4], whole[3:7], whole[6:]]
    assert other == [whole[:4], whole[6:]]
    ends = [torch.load(tmp_path / name / "checkpoints" / "step-00000012.pt") for name in ("whole", "elastic")]
    for part in ("embedder", "loss", "optimizer"):
        assert_close(ends[1][part], ends[0][part], rtol=1e-7, atol=1e-9)
    assert ends[0]["sampler"] == ends[1]["sampler"]
    assert torch.equal(ends[0]["random"]["torch"], ends[1]["random"]["torch"])
    assert ends[0]["embedder"].keys() == ends[1]["embedder"].keys()
    initial = torch.load(tmp_path / "whole" / "checkpoints" / "step-00000009.pt")["embedder"]
    moved = {name: (initial[name] - value).abs().max() for name, value in ends[0]["embedder"].items()}
    assert max(moved.values()) > 1e-3
    assert json.loads((tmp_path / "elastic" / "run.json").read_text())["processes"] == [2, 1, 2]
    rows = [(tmp_path / name / "training.csv").read_text().splitlines() for name in ("whole", "elastic")]
    assert [row.split(",")[0] for row in rows[0]] == [row.split(",")[0] for row in rows[1]]


def what_is_said(group: Group, system_yaml: Path, data_dir: Path, exp: Path, cases: dict[str, list[str]]) -> dict:
    """Of each case the message of the InputError here, or the status that this process ends with."""
    said = {}
    for name, overrides in cases.items():
        folder = data_dir.parent / name if (data_dir.parent / name).is_dir() else data_dir
        options = argparse.Namespace(
            config=str(system_yaml), device="cpu", accept_changes="false", data=str(folder), exp=str(exp / name)
        )
        with contextlib.ExitStack() as held:
            try:
                train(options, overrides, group, held)
            except InputError as error:
                said[name] = str(error)
            except SystemExit as left:
                said[name] = left.code
    return said


def test_what_is_wrong_is_said_once_by_the_first_process_whoever_found_it(system_yaml, data_dir, tmp_path):
    folder = tmp_path / "unreadable"
    folder.mkdir()
    for file in data_dir.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    scp = (folder / "feats.scp").read_text().splitlines()
    (folder / "feats.scp").write_text("\n".join([*scp[:-1], f"{scp[-1].split()[0]} {folder}/nowhere.ark:10"]) + "\n")
    cases = {
        "unreadable": ["--validation.speakers", "0"],
        "config": ["--loss.margin", "many"],
        "few speakers": ["--batch.size", "1"],
        "one crop": ["--batch.size", "3", "--train.sync_batch_norm", "false"],
        "well": ["--train.steps", "4"],
        "not finite": ["--optimizer.lr", "1e30", "--validation.speakers", "0"],
    }
    first, other = on_ranks(what_is_said, 2, tmp_path, system_yaml, data_dir, tmp_path / "exp", cases)
    assert other == dict.fromkeys(cases.keys() - {"well"}, 1)
    assert first.keys() == other.keys()
    *_, last = (tmp_path / "exp" / "well" / "training.csv").read_text().splitlines()
    assert 0 <= float(last.split(",")[-1]) <= 1  # the first process has validated
    assert "nowhere.ark" in first["unreadable"]
    assert "loss.margin" in first["config"]
    assert "batch.size: 1 is 1 speakers, which 2 processes cannot share" in first["few speakers"]
    assert "batch.size: 3 leaves one crop to some of 2 processes" in first["one crop"]
    assert "the batch's utterances are in" in first["not finite"]
    (listed,) = (tmp_path / "exp" / "not finite").glob("not_finite_step_*.txt")
    assert len(listed.read_text().splitlines()) == SYSTEM["batch"]["size"]


class Launched:
    """A training that goes on for long, in so many processes."""

    def __init__(self, system_yaml: Path, data_dir: Path, exp: Path, *options: str, **environment: str) -> None:
        long = ["--train.steps", "4000", "--train.save_every", "4000", "--validation.speakers", "0"]
        python, dash_m, *command = map(str, train_command(system_yaml, data_dir, exp, *long))
        launch = [python, dash_m, "spk.bin.launch", *options, *command]
        self.exp = exp
        self.running = subprocess.Popen(launch, env={**ENVIRONMENT, **environment}, stderr=subprocess.PIPE, text=True)

    def ranks(self) -> list[int]:
        """The processes, once they train."""
        log = self.exp / "training.csv"
        while not log.exists() or len(log.read_text().splitlines()) < 3:
            assert self.running.poll() is None, self.running.stderr.read()
            time.sleep(0.05)
        children = [path.read_text().split() for path in Path(f"/proc/{self.running.pid}/task").glob("*/children")]
        return [int(child) for some in children for child in some]

    def end(self) -> tuple[int, list[str]]:
        """Its status, and what it said besides its progress."""
        said = self.running.communicate(timeout=60)[1].splitlines()
        progress = ("step ", "epoch ", "32 utterances", "4000 steps")
        return self.running.returncode, [line for line in said if not line.startswith(progress)]


def test_a_signal_stops_all_processes_at_one_step_and_a_dead_one_ends_the_others(system_yaml, data_dir, tmp_path):
    """In one test, so that the three runs begin at the same time."""
    runs = {name: Launched(system_yaml, data_dir, tmp_path / name, "--nproc", "2") for name in ("one", "all", "killed")}
    ranks = {name: run.ranks() for name, run in runs.items()}
    os.kill(ranks["one"][1], signal.SIGTERM)
    os.kill(runs["all"].running.pid, signal.SIGTERM)
    os.kill(ranks["killed"][1], signal.SIGKILL)
    ends = {name: run.end() for name, run in runs.items()}
    for name in ("one", "all"):
        (checkpoint,) = (tmp_path / name / "checkpoints").glob("step-*.pt")
        step = int(checkpoint.stem.removeprefix("step-"))
        assert ends[name] == (143, [f"stopped at step {step}; start again to go on"])
    status, said = ends["killed"]
    assert status == 128 + signal.SIGKILL
    assert len(said) == 2
    assert said[0].startswith(f"train: error: rank 1 (process {ranks['killed'][1]} on ")
    assert "ended without a word" in said[0]
    assert "rank 1" in said[1] and said[1].endswith("was ended by SIGKILL")
    for left in (process for some in ranks.values() for process in some):
        with pytest.raises(ProcessLookupError):
            os.kill(left, 0)


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def test_a_dead_process_on_one_machine_ends_those_of_the_other(system_yaml, data_dir, tmp_path):
    where = {"SPK_MASTER": "127.0.0.1", "SPK_MASTER_PORT": free_port()}
    options = (system_yaml, data_dir, tmp_path / "exp", "--nproc", "1", "--nnodes", "2")
    machines = [Launched(*options, SPK_NODE_RANK=rank, **where) for rank in ("0", "1")]
    (_,), (killed,) = (machine.ranks() for machine in machines)
    os.kill(killed, signal.SIGKILL)
    (status, said), (other_status, other_said) = (machine.end() for machine in machines)
    assert status == 1
    assert len(said) == 1
    assert said[0].startswith(f"train: error: rank 1 (process {killed} on ")
    assert other_status == 128 + signal.SIGKILL
    assert [line.rpartition(" ")[2] for line in other_said] == ["SIGKILL"]


def ends_early(way: str, *options: str, **environment: str) -> subprocess.Popen[str]:
    path = f"{ROOT}:{ROOT / 'tests'}"
    return subprocess.Popen(
        [sys.executable, "-m", "spk.bin.launch", *options, "unit.train.ends_early", way],
        env={**ENVIRONMENT, "PYTHONPATH": path, **environment},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_process_killed_before_it_meets_the_others_is_noticed_and_what_all_find_is_said_once():
    where = {"SPK_MASTER": "127.0.0.1", "SPK_MASTER_PORT": free_port()}
    machines = ("--nproc", "1", "--nnodes", "2")
    killed = [ends_early("killed before they meet", *machines, SPK_NODE_RANK=rank, **where) for rank in ("0", "1")]
    full = ends_early("all find the disk full", "--nproc", "2")
    said = killed[0].communicate(timeout=60)[1].splitlines()
    assert killed[0].returncode == 1
    assert len(said) == 1
    assert said[0].startswith("train: error: rank 1 (process ") and "ended without a word" in said[0]
    assert killed[1].wait(timeout=60) == 128 + signal.SIGKILL
    said = full.communicate(timeout=60)[1].splitlines()
    assert full.returncode == 1
    assert len(said) == 1
    assert "somewhere: the disk is full" in said[0]


def test_who_wakes_up_after_being_suspended_listens_again_before_others_are_taken_for_dead(monkeypatch):
    store = dist.TCPStore("127.0.0.1", 0, is_master=True)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(store.port))
    monkeypatch.setattr(parallel, "BEAT", 0.02)
    monkeypatch.setattr(parallel, "SILENCE", 0.4)
    monkeypatch.setattr(parallel, "ROLL_CALL", 0.0)
    store.set("spk/beat/1", "0")
    said = []

    def end_at_once(message: str) -> None:
        said.append((time.monotonic(), message))
        watch.ended.set()

    monkeypatch.setattr(parallel, "end_at_once", end_at_once)
    watch = parallel.Watch(0, ["rank 0", "rank 1"])
    waited, wait = itertools.count(1), watch.ended.wait
    watch.ended.wait = lambda seconds: wait(0.6 if next(waited) == 3 else seconds)
    begun = time.monotonic()
    with watch:
        watch.thread.join(timeout=10)
    ((when, message),) = said
    assert when - begun > 0.6 + 0.4
    assert message.startswith("rank 1 ended without a word")
