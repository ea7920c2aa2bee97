"""utils/held_out_trials: the speakers that a training did not see, as a data directory with trials."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from spk.config import ValidationConfig
from spk.data.data_dir import read_table
from spk.data.files import file_digest
from spk.data.trials import read_trials
from spk.train.training_data import read_training_data


@pytest.fixture
def exp(train, system_yaml, data_dir, tmp_path):
    assert train(system_yaml, data_dir, tmp_path / "exp", "--train.steps", "1").returncode == 0
    return tmp_path / "exp"


def test_the_trials_are_all_pairs_of_the_speakers_that_training_held_out(exp, data_dir, tmp_path, shell):
    out = tmp_path / "held_out"
    finished = shell(f"held_out_trials {exp} {data_dir} {out}", check=True)
    utt2spk = read_table(out / "utt2spk")
    trained_on = set(read_training_data(data_dir, ValidationConfig(speakers=2), seed=3)[0].speakers)
    assert len(trained_on) == 6
    assert set(utt2spk.values()) == {f"s{number}" for number in range(8)} - trained_on
    assert len(utt2spk) == 2 * 4  # all that the speakers have, not only those that chose the checkpoint
    for name in ("feats.scp", "utt2num_frames"):
        whole = read_table(data_dir / name)
        assert read_table(out / name) == {utterance: whole[utterance] for utterance in utt2spk}
    assert (out / "feats.yaml").read_bytes() == (data_dir / "feats.yaml").read_bytes()
    trials = read_trials(out / "trials")
    assert len(trials) == 8 * 7 / 2
    assert trials.is_target.sum() == 2 * 4 * 3 / 2
    assert sorted(trials.utterances) == sorted(utt2spk)
    assert "2 held-out speakers, 8 utterances; trials: 12 target of 12, 16 non-target of 16" in finished.stderr

    times = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert "already made" in shell(f"held_out_trials {exp} {data_dir} {out}", check=True).stderr
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == times


def test_too_many_pairs_are_drawn(exp, data_dir, tmp_path, shell):
    finished = shell(f"held_out_trials --max-trials 10 {exp} {data_dir} {tmp_path}/held_out", check=True)
    assert "trials: 5 target of 12, 5 non-target of 16" in finished.stderr
    assert len(read_trials(tmp_path / "held_out" / "trials")) == 10


def test_pairs_of_one_session_are_left_out_on_demand(exp, data_dir, tmp_path, shell):
    for name in ("feats.scp", "utt2spk", "utt2num_frames"):  # sN-0 and sN-1 are of session sN-a, the others of sN-b
        text = (data_dir / name).read_text()
        text = re.sub(r"(?m)^(s\d)-([01])", r"\1-a-\2", text)
        (data_dir / name).write_text(re.sub(r"(?m)^(s\d)-([23])", r"\1-b-\2", text))
    renamed = json.loads((exp / "run.json").read_text())
    renamed["data_digests"] |= {name: file_digest(data_dir / name) for name in ("utt2spk", "utt2num_frames")}
    (exp / "run.json").write_text(json.dumps(renamed))
    line = f"held_out_trials --across-sessions true {exp} {data_dir} {tmp_path}/held_out"
    assert "trials: 8 target of 8, 16 non-target of 16" in shell(line, check=True).stderr
    again = shell(line.replace("true", "false"), check=True).stderr
    assert "because this changed: across_sessions" in again
    assert "trials: 12 target of 12" in again


def refused(finished, *parts: str) -> None:
    assert finished.returncode == 1, finished.stderr
    assert "Traceback" not in finished.stderr
    for part in parts:
        assert part in finished.stderr


def test_a_system_that_held_out_nobody_is_refused(train, system_yaml, data_dir, tmp_path, shell):
    exp = tmp_path / "exp"
    assert train(system_yaml, data_dir, exp, "--validation.speakers", "0", "--train.steps", "1").returncode == 0
    refused(shell(f"held_out_trials {exp} {data_dir} {tmp_path}/held_out"), f"{exp}: its training held out no speaker")
    assert not (tmp_path / "held_out").exists()


def test_another_data_directory_or_a_system_from_elsewhere_is_refused(exp, data_dir, tmp_path, shell):
    line = f"held_out_trials {exp} {data_dir} {tmp_path}/held_out"
    table = (data_dir / "utt2spk").read_text()
    (data_dir / "utt2spk").write_text(table.replace("s1-1 s1", "s1-1 s2"))
    refused(shell(line), "was trained on other data", "(its utt2spk)")
    (data_dir / "utt2spk").write_text(table)
    (exp / "run.json").write_text(json.dumps({"imported": {"file": "net.pt"}}))
    refused(shell(line), f"{exp}: was not trained here")
    refused(shell(line.replace(str(exp), "nowhere")), "nowhere: was not trained here")
    assert not (tmp_path / "held_out").exists()


ONE_STEP = ("--train.steps", "1")


def start_from(train, system_yaml, data_dir, exp, source, *overrides) -> str:
    """Train in `exp` from the network of `source`; what the log says."""
    finished = train(system_yaml, data_dir, exp, "--init-from", source, *ONE_STEP, *overrides)
    assert finished.returncode == 0, finished.stderr
    return finished.stderr


def test_held_out_speakers_whom_the_initial_network_was_trained_on_are_refused(
    exp, train, system_yaml, data_dir, tmp_path, shell
):
    held_out = read_training_data(data_dir, ValidationConfig(speakers=2), seed=4)[1]
    seen = set(held_out.speakers) & set(read_training_data(data_dir, ValidationConfig(speakers=2), seed=3)[0].speakers)
    assert seen
    same, other, third = (tmp_path / name for name in ("same", "other", "third"))
    assert "warning" not in start_from(train, system_yaml, data_dir, same, exp)
    shell(f"held_out_trials {same} {data_dir} {tmp_path}/held_out_same", check=True)
    # Of more that the first held out, the second may take a part.
    fewer = start_from(train, system_yaml, data_dir, tmp_path / "more", "null", "--validation.speakers", "3")
    assert "warning" not in fewer
    assert "warning" not in start_from(train, system_yaml, data_dir, tmp_path / "fewer", tmp_path / "more")

    log = start_from(train, system_yaml, data_dir, other, exp, "--seed", "4")
    assert f"{exp}/final.pt was trained on {len(seen)} of the 2 held-out speakers, so that validation flatters" in log
    message = f"trained on some of its 2 held-out speakers, {len(seen)}: {' '.join(sorted(seen))}; hold the same"
    refused(shell(f"held_out_trials {other} {data_dir} {tmp_path}/held_out"), f"{exp}/final.pt) {message}")
    # The network at the end of a chain is asked, too.
    assert "was trained on" in start_from(train, system_yaml, data_dir, third, same, "--seed", "4")
    refused(shell(f"held_out_trials {third} {data_dir} {tmp_path}/held_out"), f"{same}/final.pt) {message}")
    assert not (tmp_path / "held_out").exists()


def test_speakers_of_another_data_set_may_be_held_out_whatever_trained_the_initial_network(
    exp, train, system_yaml, data_dir, tmp_path, shell
):
    new = tmp_path / "new"
    shutil.copytree(data_dir, new)
    for name in ("feats.scp", "utt2spk", "utt2num_frames"):
        (new / name).write_text(re.sub(r"\bs(?=\d)", "new", (data_dir / name).read_text()))
    second = tmp_path / "second"
    assert "warning" not in start_from(train, system_yaml, new, second, exp, "--seed", "4")
    line = f"held_out_trials {second} {new} {tmp_path}/held_out"
    shell(line, check=True)
    shutil.rmtree(tmp_path / "held_out")
    (data_dir / "utt2spk").unlink()
    reason = f"{data_dir}, which {exp}/final.pt was trained on, is gone or has changed"
    refused(shell(line), f"{second} started from another network (init_from), and whom that was trained on", reason)
    again = start_from(train, system_yaml, new, tmp_path / "again", exp)
    assert (
        f"warning: init_from: whom the network was trained on is not known ({reason}); validation may flatter" in again
    )


def test_an_initial_network_that_nothing_tells_about_is_refused(exp, train, system_yaml, data_dir, tmp_path, shell):
    second = tmp_path / "second"
    (tmp_path / "alone").mkdir()
    shutil.copy(exp / "final.pt", tmp_path / "alone" / "net.pt")
    log = start_from(train, system_yaml, data_dir, second, tmp_path / "alone" / "net.pt")
    assert "net.pt was not trained here (steps/train)); validation may flatter" in log
    line = f"held_out_trials {second} {data_dir} {tmp_path}/held_out"
    refused(shell(line), "net.pt was not trained here (steps/train)")
    (tmp_path / "alone" / "net.pt").unlink()
    refused(shell(line), "net.pt is gone or another network now")
