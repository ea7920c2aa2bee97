"""python3 -m spk.bin.metrics and compare: anybody's files in, numbers with intervals out, one line for bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

METRICS, COMPARE = "python3 -m spk.bin.metrics", "python3 -m spk.bin.compare"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """trials of all pairs, utt2spk, utt2gender, and scores of the systems a and b, b being the worse one."""
    random = np.random.default_rng(0)
    utterances = [f"s{speaker}-{number}" for speaker in range(8) for number in range(4)]
    pairs = [(x, y) for i, x in enumerate(utterances) for y in utterances[:i]]
    means = np.array([3.0 if x[:2] == y[:2] else -3.0 for x, y in pairs])
    for name, noise in (("a", 2), ("b", 4)):
        values = means + noise * random.standard_normal(len(pairs))
        lines = [f"{x} {y} {value:.6f}\n" for (x, y), value in zip(pairs, values, strict=True)]
        (tmp_path / name).write_text("".join(lines))
    labels = ["target" if mean > 0 else "nontarget" for mean in means]
    (tmp_path / "trials").write_text("".join(f"{x} {y} {z}\n" for (x, y), z in zip(pairs, labels, strict=True)))
    (tmp_path / "utt2spk").write_text("".join(f"{name} {name[:2]}\n" for name in utterances))
    (tmp_path / "utt2gender").write_text("".join(f"{name} {'fm'[name[:2] > 's2']}\n" for name in utterances))
    return tmp_path


def refused(finished, message: str) -> None:
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    assert message in finished.stderr.splitlines()[-1]


def test_intervals_come_with_the_speakers_beside_the_trials(files, shell):
    finished = shell(f"{METRICS} --draws 50 --json out.json a trials", check=True)
    result = json.loads((files / "out.json").read_text())
    low, high = result["intervals"]["eer"]
    assert low < result["eer"] < high
    lines = finished.stdout.splitlines()
    assert lines[:3] == [
        "trials         496 (48 target, 448 nontarget)",
        "speakers       8 (intervals of 95 %)",
        f"EER            {100 * result['eer']:.3f} %   {100 * low:.3f} - {100 * high:.3f}",
    ]
    cost, (low, high) = result["act_dcf"]["0.05"], result["intervals"]["act_dcf"]["0.05"]
    assert f"actDCF(0.05)   {cost:.4f}   {low:.4f} - {high:.4f}" in lines
    assert shell(f"{METRICS} --draws 50 a trials", check=True).stdout == finished.stdout
    assert shell(f"{METRICS} --draws 50 --seed 2 a trials", check=True).stdout != finished.stdout


def test_without_speakers_there_are_no_intervals_and_it_says_so(files, shell):
    (files / "utt2spk").rename(files / "speakers")
    finished = shell(f"{METRICS} --json out.json a trials", check=True)
    assert finished.stderr == "no intervals: no --utt2spk, and no utt2spk\n"
    assert "intervals" not in json.loads((files / "out.json").read_text())
    assert "no intervals" not in shell(f"{METRICS} --draws 5 --utt2spk speakers a trials", check=True).stderr


def test_a_table_beside_the_trials_that_is_not_theirs_is_no_reason_to_fail(files, shell):
    (files / "utt2spk").write_text("x y\n")
    finished = shell(f"{METRICS} a trials", check=True)
    assert "no intervals: 32 of 32 utterances have no speaker, as 's0-1' (utt2spk)" in finished.stderr


def test_several_tables_serve_as_one(files, shell):
    lines = (files / "utt2spk").read_text().splitlines(keepends=True)
    (files / "first").write_text("".join(lines[:20]))
    (files / "second").write_text("".join(lines[10:]))
    whole = shell(f"{METRICS} --draws 5 a trials", check=True).stdout
    assert shell(f"{METRICS} --draws 5 --utt2spk first,second a trials", check=True).stdout == whole


def test_each_group_is_measured_as_if_its_trials_were_the_whole_list(files, shell):
    finished = shell(f"{METRICS} --draws 5 --groups utt2gender --json out.json a trials", check=True)
    groups = json.loads((files / "out.json").read_text())
    trials = (files / "trials").read_text().splitlines()
    females = [line for line in trials if all(name[:2] <= "s2" for name in line.split()[:2])]
    (files / "some").write_text("".join(f"{line}\n" for line in females))
    wanted = {tuple(line.split()[:2]) for line in females}
    scores = [line for line in (files / "a").read_text().splitlines() if tuple(line.split()[:2]) in wanted]
    (files / "some_scores").write_text("".join(f"{line}\n" for line in scores))
    shell(f"{METRICS} --draws 5 --json some.json some_scores some", check=True)
    assert groups["groups"]["f"] == json.loads((files / "some.json").read_text())
    assert set(groups["groups"]) == {"f", "m"}
    # 12 utterances of one group, 20 of the other.
    assert groups["num_trials_outside_groups"] == 240
    assert "in no group    240 trials across groups, 0 of an utterance without group" in finished.stdout


def test_groups_of_other_utterances_are_refused_before_anything_is_measured(files, shell):
    (files / "utt2other").write_text("somebody f\n")
    finished = shell(f"{METRICS} --groups utt2other a trials")
    assert finished.returncode == 1
    assert finished.stdout == ""
    assert "utt2other: has no group of any utterance in the trials" in finished.stderr


def test_utterances_without_group_and_groups_of_one_kind_are_said(files, shell):
    (files / "utt2x").write_text("s0-0 one\ns0-1 one\ns1-0 two\n")
    finished = shell(f"{METRICS} --draws 5 --groups utt2x a trials", check=True)
    assert "one\ntrials         1 (1 target, 0 nontarget): no error rates without both kinds\n" in finished.stdout
    # Of 496 trials one is within a group, two are across.
    assert "in no group    2 trials across groups, 493 of an utterance without group" in finished.stdout
    assert "utt2x: no group for 29 of 32 utterances" in finished.stderr


def test_a_comparison_says_which_is_better_and_how_surely(files, shell):
    finished = shell(f"{COMPARE} --draws 50 --json out.json a b trials", check=True)
    result = json.loads((files / "out.json").read_text())["eer"]
    assert result["difference"] == pytest.approx(result["b"] - result["a"])
    assert 0 < result["interval"][0] < result["interval"][1] and result["p"] < 0.05
    lines = finished.stdout.splitlines()
    assert lines[0] == "496 trials of 8 speakers"
    assert lines[1].split() == ["A", "B", "B", "-", "A", "95", "%", "interval", "p"]
    assert lines[2].split()[2:4] == [f"{100 * result['a']:.4f}", f"{100 * result['b']:.4f}"]
    same = shell(f"{COMPARE} --draws 5 a a trials", check=True).stdout.splitlines()[2].split()
    assert same[-5:] == ["0.0000", "0.0000", "to", "0.0000", "1.0000"]


def test_bad_input_is_one_line(files, shell):
    (files / "wrong").write_text((files / "utt2spk").read_text().replace("s0-0 s0", "s0-0 s1"))
    refused(
        shell(f"{METRICS} --utt2spk wrong a trials"), "trials: line 1, 's0-1 s0-0', is target, but its speakers are"
    )
    refused(shell(f"{METRICS} --utt2spk wrong,utt2spk a trials"), "utt2spk: 's0-0' is 's0' here and 's1' in an earlier")
    refused(shell(f"{METRICS} --utt2spk missing a trials"), "missing: No such file")
    refused(shell(f"{METRICS} --draws 1 a trials"), "draws: 1 is out of range")
    for name in (METRICS, f"{COMPARE} a"):
        refused(shell(f"{name} --seed -1 a trials"), "--seed: -1 is out of range; allowed: at least 0")
        refused(shell(f"{name} --draws x a trials"), "--draws: 'x' must be a whole number")
    refused(shell(f"{COMPARE} a missing trials"), "missing: no such file")
    (files / "b").write_text("s0-1 s0-0 nan\n")
    refused(shell(f"{COMPARE} a b trials"), "b:1: the score is NaN")
    (files / "utt2spk").unlink()
    refused(shell(f"{COMPARE} a a trials"), "trials: the test needs the speakers of its utterances; give --utt2spk")
    lines = (files / "trials").read_text().splitlines(keepends=True)
    (files / "trials").write_text("".join(line for line in lines if "nontarget" in line))
    refused(shell(f"{METRICS} a trials"), "a: 48 scores")


@pytest.mark.parametrize("name", ["metrics", "compare"])
def test_the_commands_explain_themselves(shell, name):
    assert f"Usage: python3 -m spk.bin.{name}" in shell(f"python3 -m spk.bin.{name} --help", check=True).stdout
