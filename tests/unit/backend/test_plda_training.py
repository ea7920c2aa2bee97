"""PLDA training against Kaldi's, the likelihood that it must raise, and what the data were drawn from."""

from __future__ import annotations

import logging
from pathlib import Path

import kaldiio
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from spk.backend.plda import Plda
from spk.backend.plda_files import read_plda
from spk.backend.plda_training import train_plda
from spk.backend.speaker_statistics import SpeakerStatistics, speaker_statistics
from spk.errors import InputError

DATA = Path(__file__).parents[2] / "data"


def statistics(x: np.ndarray, speakers: np.ndarray) -> SpeakerStatistics:
    return speaker_statistics([(np.arange(len(x)), x)], speakers)


def kaldis_training_data(model: str) -> tuple[np.ndarray, np.ndarray]:
    """What the commands of Kaldi piped into ivector-compute-plda for this model."""
    utterances, vectors = zip(*kaldiio.load_ark(str(DATA / "kaldi" / "train.ark")), strict=True)
    utt2spk = dict(line.split() for line in (DATA / "kaldi" / "train.utt2spk").read_text().splitlines())
    speakers = np.unique([utt2spk[utterance] for utterance in utterances], return_inverse=True)[1]
    x = np.stack(vectors).astype(np.float64)
    if model == "plda_lda":
        lda = kaldiio.load_mat(str(DATA / "kaldi" / "lda.mat")).astype(np.float64)
        x = (x - x.mean(axis=0)) @ lda[:, :-1].T + lda[:, -1]
    if model != "plda":
        x *= np.sqrt(x.shape[1]) / np.linalg.norm(x, axis=1, keepdims=True)
    return x, speakers


# What is normalised first is rounded to float32 by Kaldi, so that seven digits agree; else thirteen.
@pytest.mark.parametrize(("model", "tolerance"), [("plda", 1e-12), ("plda_lennorm", 2e-6), ("plda_lda", 2e-6)])
def test_it_is_kaldis_model_up_to_the_signs_of_rows(model, tolerance):
    plda, kaldi = train_plda(statistics(*kaldis_training_data(model))), read_plda(DATA / "plda" / model)
    signs = np.sign((plda.transform * kaldi.transform).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(plda.mean, kaldi.mean, atol=tolerance)
    np.testing.assert_allclose(plda.transform * signs, kaldi.transform, atol=tolerance)
    np.testing.assert_allclose(plda.psi, kaldi.psi, atol=tolerance)


def log_likelihood(plda: Plda, x: np.ndarray, speakers: np.ndarray) -> float:
    """Each speaker's utterances as one Gaussian vector with covariance I (x) W + 11' (x) B."""
    within, between = plda.covariances()
    total = 0.0
    for speaker in np.unique(speakers):
        own = x[speakers == speaker] - plda.mean
        count = len(own)
        covariance = np.kron(np.eye(count), within) + np.kron(np.ones((count, count)), between)
        total += multivariate_normal(cov=covariance).logpdf(own.ravel())
    return total


def test_every_iteration_raises_the_likelihood():
    random = np.random.default_rng(0)
    speakers = np.repeat(np.arange(40), random.integers(1, 5, size=40))  # some with one utterance
    x = (2 * random.standard_normal((40, 3)))[speakers] + random.standard_normal((len(speakers), 3))
    x = x @ random.standard_normal((3, 3))
    likelihoods = [
        log_likelihood(train_plda(statistics(x, speakers), num_iters), x, speakers)
        for num_iters in (1, 2, 3, 5, 10, 60, 61)
    ]
    assert (np.diff(likelihoods[:-1]) > 0).all()  # that of the 61st is rounding
    assert likelihoods[-1] - likelihoods[-2] < 1e-2 * (likelihoods[1] - likelihoods[0])


def test_covariances_that_data_were_drawn_from_are_found():
    random = np.random.default_rng(1)
    within, between = np.array([[1.0, 0.5], [0.5, 2.0]]), np.array([[3.0, -1.0], [-1.0, 1.0]])
    speakers = np.repeat(np.arange(20_000), 4)
    x = random.multivariate_normal([5, -3], between, size=20_000)[speakers]
    plda = train_plda(statistics(x + random.multivariate_normal([0, 0], within, size=len(speakers)), speakers), 30)
    np.testing.assert_allclose(plda.mean, [5, -3], atol=0.05)
    np.testing.assert_allclose(plda.covariances()[0], within, atol=0.05)
    np.testing.assert_allclose(plda.covariances()[1], between, atol=0.1)


def test_fewer_speakers_than_dimensions_is_a_warning_that_says_what_to_do(caplog):
    random = np.random.default_rng(2)
    speakers = np.repeat(np.arange(4), 20)
    with caplog.at_level(logging.WARNING):
        plda = train_plda(statistics(random.standard_normal((80, 6)) + speakers[:, None], speakers))
    assert "4 speakers differ in at most 3 of the 6 directions; --lda-dim 3 or less" in caplog.text
    assert np.isfinite(plda.transform).all()
    assert (plda.psi >= 0).all()


@pytest.mark.parametrize(
    ("counts", "columns", "message"),
    [
        ([9], [0, 1], "needs at least 2 speakers; here is 1"),
        ([1] * 9, [0, 1], "every one of the 9 speakers has one utterance"),
        (
            [2, 2, 1],
            [0, 1, 2],
            r"5 utterances of 3 speakers are too few for PLDA in 3 dim.*\(--lda-dim 2 or less",
        ),
        ([5, 5, 5], [0, 1, 1], r"covariance of 3 dimensions is singular \(15 utterances of 3 speakers\).*--lda-dim"),
    ],
)
def test_too_little_data_is_an_error_that_says_what_to_do(counts, columns, message):
    x = np.random.default_rng(3).standard_normal((sum(counts), 4))[:, columns]
    with pytest.raises(InputError, match=f"^[^\n]*{message}"):
        train_plda(statistics(x, np.repeat(np.arange(len(counts)), counts)))
