"""Which changes the steps after the embeddings notice, and which files they never remove."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from spk.data.stamp import describe_inputs
from spk.embed.write import write_embeddings

UTTERANCES = [f"s{speaker}-{number}" for speaker in range(8) for number in range(4)]


def embed(folder: Path, seed: int) -> None:
    """Embeddings as from elsewhere, without a stamp. Those of C are of other speakers."""
    utterances = [u.replace("s", "c") for u in UTTERANCES] if folder.name == "C" else UTTERANCES
    random = np.random.default_rng(seed)
    vectors = np.repeat(3 * random.standard_normal((8, 6)), 4, axis=0) + random.standard_normal((32, 6))
    write_embeddings(os.fspath(folder / "embedding"), utterances, vectors.astype(np.float32))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """data with trials of all pairs, and embeddings A, B and C."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "utt2spk").write_text("".join(f"{u} {u[:2]}\n" for u in UTTERANCES))
    pairs = [(a, b) for i, a in enumerate(UTTERANCES) for b in UTTERANCES[:i]]
    lines = [f"{a} {b} {'target' if a[:2] == b[:2] else 'nontarget'}\n" for a, b in pairs]
    (tmp_path / "data" / "trials").write_text("".join(lines))
    for seed, name in enumerate("ABC"):
        embed(tmp_path / name, seed)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {os.fspath(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def again(shell, line: str) -> str:
    """What the step of `line` found changed; empty where it found nothing to do."""
    stderr = shell(line, check=True).stderr
    if "already made" in stderr:
        return ""
    return stderr.split("because this changed: ")[1].splitlines()[0]


TRAIN_PLDA, TRAIN_LDA = "train_plda --lda-dim 3 data A plda", "train_lda data A lda"
SCORE = "score data/trials A B scores"
SCORE_PLDA = "score --backend plda --backend-dir plda data/trials B B scores"


@pytest.mark.parametrize(
    ("step", "role"),
    [
        (SCORE, "enroll"),
        ("score data/trials B A scores", "test"),
        ("score --norm s --cohort C data/trials B B scores", "cohort"),
        (TRAIN_LDA, "embeddings"),
        (TRAIN_PLDA, "embeddings"),
        ("train_plda --coral A data B plda", "coral"),
        ("train_plda data B old >&2; adapt_plda old A plda", "embeddings"),
        ("score data/trials A A s; train_calibration --quality norm --enroll-dir A data/trials cal s", "enroll_dir"),
    ],
)
def test_new_content_of_an_ark_whose_scp_stays_as_it_was_is_noticed(work, shell, step, role):
    shell(step, check=True)
    step = step.split("; ")[-1]
    assert again(shell, step) == ""
    folder = work / ("C" if role == "cohort" else "A")
    scp = (folder / "embedding.scp").read_text()
    embed(folder, 3)
    assert (folder / "embedding.scp").read_text() == scp
    assert again(shell, step) == f"{role}_arks"


def test_a_missing_ark_is_told_by_the_command_and_not_by_the_stamp(work, shell):
    (work / "A" / "embedding.ark").unlink()
    finished = shell(SCORE)
    assert finished.returncode == 1
    assert "A/embedding.ark" in finished.stderr.splitlines()[-1]


def test_the_two_sides_are_not_each_others(work, shell):
    shell(SCORE, check=True)
    first = (work / "scores").read_bytes()
    assert again(shell, SCORE.replace("A B", "B A")) == "enroll, enroll_arks, test, test_arks"
    assert (work / "scores").read_bytes() != first


def test_another_back_end_in_the_embeddings_own_evaluation_is_noticed(work, shell):
    shell(SCORE, check=True)
    for name in ("A", "B"):
        (work / name / "evaluation.yaml").write_text("backend: euclidean\n")
        (work / name / ".done").write_text("{}")
    shell(SCORE, check=True)
    assert json.loads((work / "scores.json").read_text())["backend"] == "euclidean"
    for name in ("A", "B"):
        (work / name / "evaluation.yaml").write_text("backend: cosine\n")
    assert again(shell, SCORE) == "A/evaluation.yaml, B/evaluation.yaml"
    assert json.loads((work / "scores.json").read_text())["backend"] == "cosine"


@pytest.mark.parametrize("name", ["mean.vec", "transform.mat", "plda", "plda.json"])
def test_every_file_of_a_back_end_is_an_input(work, shell, name):
    """Also of one that train_plda made: its files are what is read, not its stamp."""
    adapt = "adapt_plda plda B adapted"
    shell(
        f"{TRAIN_PLDA}; train_plda --lda-dim 3 --length-normalize false data B other; {SCORE_PLDA}; {adapt}", check=True
    )
    assert again(shell, SCORE_PLDA) == again(shell, adapt) == ""
    (work / "plda" / name).write_bytes((work / "other" / name).read_bytes())
    assert again(shell, SCORE_PLDA) == again(shell, adapt) == f"plda/{name}"


@pytest.mark.parametrize("train", ["train_plda --lda-dim 3 data A A", "train_lda data A A"])
def test_a_back_end_may_lie_among_the_embeddings_it_was_trained_on(work, shell, train):
    (work / "A" / ".done").write_text('{"the stamp": "of the embeddings"}')
    score = "score --backend-dir A data/trials A A scores"
    if "plda" in train:
        score = score.replace("score", "score --backend plda", 1)
    shell(f"{train}; {score}", check=True)
    assert (work / "A" / ".done").read_text() == '{"the stamp": "of the embeddings"}'
    assert again(shell, train) == again(shell, score) == ""
    shell(
        train.replace("data A", "data B") if "lda data" in train else train.replace("3 data A", "2 data B"), check=True
    )
    assert "A/transform.mat" in again(shell, score)


@pytest.mark.parametrize(
    ("before", "line", "message"),
    [
        (TRAIN_PLDA, "train_lda data A plda", "train_lda: error: plda: has a PLDA"),
        (TRAIN_LDA, "train_plda data A lda", "train_plda: error: lda: has an LDA of steps/train_lda"),
        (
            f"{TRAIN_LDA}; {TRAIN_PLDA}",
            "adapt_plda plda B lda",
            "adapt_plda: error: lda: has an LDA of steps/train_lda",
        ),
        (TRAIN_PLDA, "adapt_plda plda B plda", "adapt_plda: error: plda: is the back-end to adapt"),
        ("ln data/trials trials", "score data/trials A B trials", "score: error: trials: is read, too"),
        (
            "ln -s data/utt2spk m",
            "score --enroll-models m data/trials A B data/utt2spk",
            "score: error: data/utt2spk: is",
        ),
        (
            "score data/trials A A s; score data/trials B B t; train_calibration data/trials cal s t",
            "calibrate cal data/trials ./t s t",
            "calibrate: error: ./t: is read, too",
        ),
        ("", "calibrate cal data/trials data/trials s", "calibrate: error: data/trials: is read, too"),
        ("", "held_out_trials exp data ./data", "held_out_trials: error: ./data: is the source, too"),
    ],
)
def test_what_a_step_reads_or_another_trained_is_refused_as_output_and_stays(work, shell, before, line, message):
    shell(before, check=True)
    files = contents(work)
    finished = shell(line)
    assert finished.returncode == 1
    assert len(finished.stderr.splitlines()) == 1
    assert message in finished.stderr
    assert contents(work) == files


def test_a_file_that_goes_by_the_name_of_a_value_is_an_input_like_any_other(work, shell, monkeypatch):
    shell("score data/trials A A scores; train_calibration data/trials cal scores", check=True)
    line = "calibrate cal data/trials out scores"
    (work / "data" / "trials").write_text("".join(f"x{u} y{u} target\n" for u in UTTERANCES))
    (work / "scores").write_text("".join(f"x{u} y{u} 0.5\n" for u in UTTERANCES))
    shell(line, check=True)
    (work / "scores").write_text("".join(f"x{u} y{u} 0.6\n" for u in UTTERANCES))
    assert again(shell, line) == "scores"
    monkeypatch.chdir(work)
    alone = describe_inputs(["scores"])["scores"]
    assert describe_inputs(["scores"], {"scores": "s", "other": "o"}) == {"scores": f"{alone} s", "other": "o"}
