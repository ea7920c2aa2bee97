"""steps/train_plda and steps/adapt_plda: what they write, when they do nothing, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spk.embed.write import write_embeddings

UTTERANCES = [f"s{speaker:02d}-{number}" for speaker in range(20) for number in range(5)]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Embeddings of 20 speakers in `train`, of unknown ones in `domain`, and one utterance more in data/utt2spk."""
    random = np.random.default_rng(0)
    means = np.repeat(2 * random.standard_normal((20, 6)), 5, axis=0)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "utt2spk").write_text("".join(f"{u} {u[:3]}\n" for u in [*UTTERANCES, "s99-0"]))
    write_embeddings(str(tmp_path / "train" / "embedding"), UTTERANCES, means + random.standard_normal(means.shape))
    domain = random.standard_normal((40, 6)) * [5, 1, 1, 1, 1, 1] + 1
    write_embeddings(str(tmp_path / "domain" / "embedding"), [f"u{number}" for number in range(40)], domain)
    pairs = [(a, b) for a in UTTERANCES[::5] for b in UTTERANCES[1::5]]
    trials = [f"{a} {b} {'target' if a[:3] == b[:3] else 'nontarget'}\n" for a, b in pairs]
    (tmp_path / "data" / "trials").write_text("".join(trials))
    return tmp_path


def test_from_embeddings_to_scores_and_the_second_time_nothing(work, shell):
    line = (
        "train_plda --lda-dim 4 data train plda; adapt_plda plda domain adapted; "
        "train_plda --coral domain data train coral; "
        "for x in plda adapted coral; do score --backend plda --backend-dir $x data/trials train train scores_$x; done"
    )
    shell(line, check=True)
    scores = {name: (work / f"scores_{name}").read_text() for name in ("plda", "adapted", "coral")}
    assert len(set(scores.values())) == 3
    for text in scores.values():
        fields = [row.split() for row in text.splitlines()]
        targets = [float(score) for enroll, test, score in fields if enroll[:3] == test[:3]]
        nontargets = [float(score) for enroll, test, score in fields if enroll[:3] != test[:3]]
        assert (len(targets), len(nontargets)) == (20, 380)
        assert np.mean(targets) > np.mean(nontargets) + 3
    assert {path.name for path in (work / "plda").iterdir()} == {
        *("mean.vec", "transform.mat", "plda", "plda.json", "missing", ".backend.done")
    }
    assert (work / "plda" / "missing").read_text() == "s99-0\n"
    description = json.loads((work / "plda" / "plda.json").read_text())
    assert (description["num_utterances"], description["num_missing"], description["lda_dim"]) == (100, 1, 4)
    assert json.loads((work / "coral" / "plda.json").read_text())["coral"]["num_utterances"] == 40

    again = shell(line, check=True)
    assert again.stderr.count("already made") == 6
    changed = shell("train_plda --lda-dim 3 data train plda; adapt_plda plda domain adapted", check=True)
    assert changed.stderr.count("made again, because this changed") == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train_plda --lda-dim few data train out", "--lda-dim: 'few' must be a whole number or auto or none"),
        ("train_plda --lda-dim 20 data train out", "--lda-dim 20: allowed are 1 to 6"),
        ("train_plda --num-iters 0 data train out", "--num-iters: must be at least 1"),
        ("train_plda --smoothing -1 data train out", "--smoothing: '-1' is out of range"),
        ("train_plda data domain out", "domain has no embedding of any utterance of data"),
        ("train_plda --coral nowhere data train out", "nowhere/embedding.scp: no such file"),
        ("grep -- '-0' data/utt2spk > u; mv u data/utt2spk; train_plda data train out", "every one of the 20 speakers"),
        ("train_plda data train out && adapt_plda out domain out", "out: is the back-end to adapt"),
        ("adapt_plda nowhere domain out", "nowhere/plda: no such file"),
        ("mkdir b; echo x > b/plda; adapt_plda b domain out", "b/plda: line 1: expected <Plda>, found 'x"),
    ],
)
def test_a_mistake_is_one_line_and_no_model(work, shell, line, message):
    finished = shell(line)
    assert finished.returncode == 1
    assert message in finished.stderr.splitlines()[-1]
    assert "Traceback" not in finished.stderr
    if "&&" not in line:
        assert not (work / "out" / "plda").exists()
