"""Training as a command: it learns, it resumes bit for bit, and it refuses what cannot be right."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from unit.train.commands import ENVIRONMENT, train_command


def final(exp):
    return torch.load(exp / "final.pt", weights_only=True)


def assert_same_weights(first, second):
    assert first["step"] == second["step"]
    assert first["embedder"].keys() == second["embedder"].keys()
    for name, value in first["embedder"].items():
        assert torch.equal(value, second["embedder"][name]), name


def test_a_run_killed_again_and_again_ends_with_the_same_bits(train, system_yaml, data_dir, trained, tmp_path):
    exp = tmp_path / "killed"
    kills, seen = 0, -1
    while kills < 2:
        running = subprocess.Popen(
            train_command(system_yaml, data_dir, exp), env=ENVIRONMENT, stderr=subprocess.DEVNULL
        )
        while running.poll() is None:
            steps = sorted(int(path.stem.split("-")[1]) for path in (exp / "checkpoints").glob("step-*.pt"))
            if steps and steps[-1] > seen and steps[-1] < 12:
                seen = steps[-1]
                running.send_signal(signal.SIGKILL)
                kills += 1
            time.sleep(0.004)
        if running.returncode == 0:
            break
    assert kills >= 1
    assert train(system_yaml, data_dir, exp).returncode == 0
    assert_same_weights(final(trained), final(exp))
    rows = {
        name: list(csv.DictReader((path / "training.csv").open()))
        for name, path in [("whole", trained), ("killed", exp)]
    }
    for one, other in zip(rows["whole"], rows["killed"], strict=True):
        assert {**one, "crops_per_second": ""} == {**other, "crops_per_second": ""}
    assert (exp / "cosines.csv").read_bytes() == (trained / "cosines.csv").read_bytes()
    counted = list(csv.DictReader((exp / "cosines.csv").open()))
    assert [row["step"] for row in counted] == [row["step"] for row in rows["whole"]]
    before = 0
    for row in counted:
        step = int(row.pop("step"))
        steps, before = step - before, step
        assert sum(map(int, row.values())) == steps * 4


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_terminated_run_saves_and_can_go_on(system_yaml, data_dir, tmp_path, workers):
    exp = tmp_path / "exp"
    overrides = ["--train.steps", "4000", "--train.save_every", "4000", "--validation.speakers", "0"]
    running = subprocess.Popen(
        train_command(system_yaml, data_dir, exp, *overrides, "--train.workers", workers),
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not (exp / "training.csv").exists() or len((exp / "training.csv").read_text().splitlines()) < 4:
        assert running.poll() is None
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGTERM)  # as job runners do: to the loader's processes too
    message = running.communicate(timeout=60)[1]
    assert running.returncode == 143, message
    assert "start again to go on" in message
    assert len(list((exp / "checkpoints").glob("step-*.pt"))) == 1


def test_reading_ahead_with_worker_processes_changes_nothing(train, system_yaml, data_dir, tmp_path):
    for workers in ("0", "2"):
        assert train(system_yaml, data_dir, tmp_path / workers, "--train.workers", workers).returncode == 0
    assert_same_weights(final(tmp_path / "0"), final(tmp_path / "2"))
    # The checkpoint holds the batches that were used, not those that were read ahead.
    states = [torch.load(tmp_path / workers / "checkpoints" / "step-00000012.pt") for workers in ("0", "2")]
    assert states[0]["sampler"] == states[1]["sampler"]


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(train, system_yaml, data_dir, tmp_path):
    for name, seed in [("a", "5"), ("b", "5"), ("c", "6")]:
        assert train(system_yaml, data_dir, tmp_path / name, "--seed", seed).returncode == 0
    assert_same_weights(final(tmp_path / "a"), final(tmp_path / "b"))
    weights = [final(tmp_path / name)["embedder"]["network.embedding.weight"] for name in "ac"]
    assert not torch.equal(*weights)


def test_it_learns_to_tell_the_speakers_apart(train, system_yaml, data_dir, tmp_path):
    done = train(system_yaml, data_dir, tmp_path / "exp", "--train.steps", "80", "--normalization.name", "none")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "exp" / "training.csv").open()))
    early, late = (np.mean([float(row["loss"]) for row in part]) for part in (rows[:4], rows[-4:]))
    assert late < 0.7 * early


def test_finished_training_is_not_done_again(train, system_yaml, data_dir, exp):
    before = (exp / "final.pt").stat().st_mtime_ns
    again = train(system_yaml, data_dir, exp)
    assert again.returncode == 0
    assert "already trained" in again.stderr
    assert (exp / "final.pt").stat().st_mtime_ns == before


def test_another_config_or_other_data_in_the_same_directory_is_refused(train, system_yaml, data_dir, exp):
    changed = train(system_yaml, data_dir, exp, "--loss.margin", "0.3")
    assert changed.returncode == 1
    assert "loss.margin: 0.2 -> 0.3" in changed.stderr
    lines = (data_dir / "utt2spk").read_text().splitlines()
    (data_dir / "utt2spk").write_text("\n".join([*lines[:-1], "s7-3 s6"]) + "\n")
    other = train(system_yaml, data_dir, exp)
    assert other.returncode == 1
    assert "utt2spk" in other.stderr
    assert "other data" in other.stderr


def test_a_run_may_move_with_its_data(train, system_yaml, data_dir, exp, tmp_path):
    moved = data_dir.rename(tmp_path / "moved")
    scp = (moved / "feats.scp").read_text()
    (moved / "feats.scp").write_text(scp.replace(str(data_dir), str(moved)))
    assert "already trained" in train(system_yaml, moved, exp).stderr


def test_a_damaged_checkpoint_is_passed_over(train, system_yaml, data_dir, trained, exp):
    (exp / "final.pt").unlink()
    last = sorted((exp / "checkpoints").glob("step-*.pt"))[-1]
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    again = train(system_yaml, data_dir, exp)
    assert again.returncode == 0, again.stderr
    assert "going back to the checkpoint before it" in again.stderr
    assert_same_weights(final(trained), final(exp))


def test_checkpoints_that_are_all_damaged_are_no_fresh_start(train, system_yaml, data_dir, exp):
    (exp / "final.pt").unlink()
    for path in (exp / "checkpoints").glob("step-*.pt"):
        path.write_bytes(b"no checkpoint")
    again = train(system_yaml, data_dir, exp)
    assert again.returncode == 1
    assert "no checkpoint there can be read" in again.stderr


def test_frame_counts_of_other_features_are_refused(train, system_yaml, data_dir, tmp_path):
    lines = (data_dir / "utt2num_frames").read_text().splitlines()
    (data_dir / "utt2num_frames").write_text(
        "".join(f"{line.split()[0]} {2 * int(line.split()[1])}\n" for line in lines)
    )
    done = train(system_yaml, data_dir, tmp_path / "exp")
    assert done.returncode == 1
    assert "utt2num_frames says" in done.stderr


def test_a_full_disk_is_said_in_one_line_and_the_run_carries_on_when_there_is_room(
    train, system_yaml, data_dir, trained, disk_of
):
    disk = disk_of("1500k")
    (disk / "ballast").write_bytes(bytes(700_000))
    failed = train(system_yaml, data_dir, disk / "exp")
    assert failed.returncode == 1
    assert re.search(r"disk/exp/checkpoints/step-\d+\.pt: the disk is full; free some space", failed.stderr)
    assert not list(disk.rglob("*.partial"))
    (disk / "ballast").unlink()
    subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
    assert train(system_yaml, data_dir, disk / "exp").returncode == 0
    assert_same_weights(final(trained), final(disk / "exp"))


def test_a_loss_that_is_not_finite_stops_with_the_batch_saved(train, system_yaml, data_dir, tmp_path):
    done = train(system_yaml, data_dir, tmp_path / "exp", "--optimizer.lr", "1e30", "--schedule.name", "constant")
    assert done.returncode == 1
    assert "the loss is" in done.stderr
    listed = next((tmp_path / "exp").glob("not_finite_step_*.txt")).read_text().split()
    assert len(listed) == 4
    assert set(listed) <= {line.split()[0] for line in (data_dir / "utt2spk").read_text().splitlines()}


@pytest.mark.parametrize(
    "overrides, message",
    [
        (["--loss.margin", "-1"], "loss.margin: -1 is out of range; allowed: at least 0"),
        (["--loss.margn", "0.2"], "loss.margn: unknown key; did you mean 'margin'?"),
        (["--batch.size", "many"], "batch.size: 'many' must be a whole number"),
        (["--batch.size", "7"], "batch.size: a batch needs 7 distinct speakers"),
        (["--features.name", "fbank41"], "no front end is named 'fbank41'; did you mean 'fbank40'?"),
        (["--train.epochs", "3", "--train.steps", "5"], "exactly one of train.epochs and train.steps"),
        (["--validation.utterances_per_speaker", "1"], "validation.utterances_per_speaker: 1 is out of range"),
        (["--curriculum.margin.start", "-1"], "curriculum.margin.start, as loss.margin: -1.0 is out of range"),
        (["--validation.speakers", "7"], "would leave fewer than 2 to train on"),
        (["--curriculum.scael.start", "1"], "curriculum.scael: dam_softmax has no such number; did you mean 'scale'?"),
        (["--features.name", "spectrogram257"], "the features there are others than the system's"),
        (
            ["--curriculum.margin.begin", "9", "--curriculum.margin.end", "9", "--curriculum.margin.unit", "epochs"],
            "curriculum.margin: begins at epoch 9 and ends at 9, but the run has",
        ),
        (
            ["--network.name", "xvector", "--evaluation.crops", "2", "--evaluation.crop_frames", "5"],
            "evaluation.crop_frames: 5, but xvector needs crops of 15 frames or more",
        ),
        (["--network.name", "vgg_m"], "batch.crop_frames: 20, but vgg_m needs crops of 65 frames or more"),
        (["--loss.name", "triplet"], "utterances_per_speaker: 1 is out of range for the loss triplet; allowed: at"),
    ],
)
def test_what_cannot_be_right_is_refused_in_one_line_before_any_work(
    train, system_yaml, data_dir, tmp_path, overrides, message
):
    done = train(system_yaml, data_dir, tmp_path / "exp", *overrides)
    assert done.returncode == 1
    assert message in done.stderr
    assert not (tmp_path / "exp" / "config.yaml").exists()


def test_a_held_lock_says_who_holds_it(train, system_yaml, data_dir, tmp_path):
    exp = tmp_path / "exp"
    exp.mkdir()
    script = f"""
import pathlib, time
from spk.train.lock import locked
with locked(pathlib.Path({str(exp)!r})):
    print("held", flush=True)
    time.sleep(60)
"""
    holder = subprocess.Popen([sys.executable, "-c", script], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        done = train(system_yaml, data_dir, exp)
    finally:
        holder.kill()
        holder.wait()
    assert done.returncode == 1
    assert f"in use by process {holder.pid}" in done.stderr


def test_training_needs_only_the_packages_of_a_bare_gpu_machine(system_yaml, data_dir, tmp_path):
    """torch, numpy, scikit-learn (and its scipy), PyYAML and kaldiio: the others cannot be imported here."""
    blocked = ("torchaudio", "soundfile", "tqdm", "tensorboard", "matplotlib")
    program = f"import sys; sys.modules.update(dict.fromkeys({blocked})); from spk.bin.train import main; main()"
    command = train_command(system_yaml, data_dir, tmp_path / "exp")
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, command[3:])], env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert final(tmp_path / "exp")["step"] > 0


def test_a_system_to_be_evaluated_by_plda_is_validated_by_cosine(train, system_yaml, data_dir, tmp_path):
    """PLDA is trained on embeddings of the finished network; final.pt keeps what the system is to be evaluated by."""
    for name in ("plda", "cosine"):
        run = train(system_yaml, data_dir, tmp_path / name, "--evaluation.backend", name, "--train.steps", "4")
        assert run.returncode == 0, run.stderr
    one, other = ((tmp_path / name / "training.csv").read_text().splitlines() for name in ("plda", "cosine"))
    column = one[0].split(",").index("validation_eer")
    eers = [line.split(",")[column] for line in one]
    assert eers == [line.split(",")[column] for line in other]
    assert eers[-1] != ""
    assert "name: plda" in (tmp_path / "plda" / "config.yaml").read_text()
