"""Scores in numpy's form: what reads them says the same as of lines, and either form becomes the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spk.embed.write import write_embeddings

UTTERANCES = [f"s{speaker}-{number}" for speaker in range(4) for number in range(3)]
SCORE = "score trials embeddings embeddings exp/scores_test_cosine"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Trials of all pairs, and embeddings."""
    random = np.random.default_rng(0)
    vectors = np.repeat(random.standard_normal((4, 8)), 3, axis=0) + random.standard_normal((12, 8))
    write_embeddings(str(tmp_path / "embeddings" / "embedding"), UTTERANCES, vectors.astype(np.float32))
    pairs = [(a, b) for place, a in enumerate(UTTERANCES) for b in UTTERANCES[:place]]
    lines = [f"{a} {b} {'target' if a[:2] == b[:2] else 'nontarget'}\n" for a, b in pairs]
    (tmp_path / "trials").write_text("".join(lines))
    return tmp_path


def test_binary_scores_are_those_of_the_lines_and_are_read_alike(work, shell):
    shell(f"{SCORE}; mkdir lines; mv exp/* lines; {SCORE.replace('score ', 'score --binary true ')}", check=True)
    lines, binary = work / "lines/scores_test_cosine", work / "exp/scores_test_cosine"
    assert binary.read_bytes()[:2] == b"PK"
    measure = "python3 -m spk.bin.metrics {} trials"
    measured = [shell(measure.format(path), check=True).stdout for path in (lines, binary)]
    assert measured[0] == measured[1] and "EER" in measured[0]
    shell("copy_scores exp/scores_test_cosine as_lines; copy_scores --binary true as_lines as_binary", check=True)
    assert (work / "as_lines").read_bytes() == lines.read_bytes()
    shell("copy_scores as_binary lines_again", check=True)
    assert (work / "lines_again").read_bytes() == lines.read_bytes()
    assert (work / "as_lines.json").read_bytes() == Path(f"{binary}.json").read_bytes()
    shell("rm as_lines.json; copy_scores as_lines as_binary", check=True)
    assert not (work / "as_binary.json").exists()  # of other scores
    shell("copy_scores --binary true as_lines as_binary", check=True)
    assert np.load(work / "as_binary")["values"].dtype == np.float32
    assert shell(measure.format("as_binary"), check=True).stdout == measured[0]


def test_the_other_form_is_made_when_it_is_asked_for_and_not_again(work, shell):
    binary = SCORE.replace("score ", "score --binary true ")
    said = [shell(command, check=True).stderr for command in (SCORE, SCORE, binary, binary, SCORE)]
    assert ["already made" in text for text in said] == [False, True, False, True, False]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("copy_scores nothing out", "nothing: no such file"),
        ("copy_scores embeddings out", "embeddings"),
        ("copy_scores scores ./scores", "./scores: is read, too; name another file to write"),
        ("copy_scores --binary perhaps scores out", "perhaps"),
        ("copy_scores scores", "it takes 2 arguments, not 1"),
        ("copy_scores cut out", "cut: is damaged, or no score file"),
        (SCORE.replace("score ", "score --binary perhaps "), "perhaps"),
    ],
)
def test_what_cannot_be_copied_is_said_in_a_line(work, shell, command, message):
    (work / "scores").write_text("a b 1\n")
    (work / "cut").write_bytes(b"PK\3\4and no more")
    done = shell(command)
    assert done.returncode and message in done.stderr and "Traceback" not in done.stderr
    assert not (work / "out").exists()
