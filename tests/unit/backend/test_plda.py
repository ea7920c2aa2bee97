"""The PLDA model against the Gaussians that it stands for, and against Kaldi's scores."""

from __future__ import annotations

from pathlib import Path

import kaldiio
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from spk.backend.plda import Plda
from spk.backend.plda_files import read_plda
from spk.errors import InputError

DATA = Path(__file__).parents[2] / "data"
ORACLE, EMBEDDINGS = DATA / "plda", DATA / "kaldi"


def random_plda(dim: int = 5, seed: int = 0) -> Plda:
    random = np.random.default_rng(seed)
    psi = np.sort(random.gamma(1.0, size=dim))[::-1]
    return Plda(random.standard_normal(dim), random.standard_normal((dim, dim)), psi)


def log_likelihood_ratio(plda: Plda, enroll: np.ndarray, test: np.ndarray, num_enroll: int) -> float:
    """log p(enroll, test | one speaker) - log p(enroll) p(test) of projected vectors, enroll a mean of num_enroll."""
    eye, between = np.eye(plda.dim), np.diag(plda.psi)
    same = np.block([[between + eye / num_enroll, between], [between, between + eye]])
    apart = np.block([[between + eye / num_enroll, 0 * eye], [0 * eye, between + eye]])
    pair = np.concatenate([enroll, test])
    return multivariate_normal(cov=same).logpdf(pair) - multivariate_normal(cov=apart).logpdf(pair)


def test_covariances_become_unit_and_diagonal_and_come_back():
    random = np.random.default_rng(1)
    within, between = (factor @ factor.T for factor in random.standard_normal((2, 6, 9)))
    plda = Plda.from_covariances(np.zeros(6), within, between)
    np.testing.assert_allclose(plda.transform @ within @ plda.transform.T, np.eye(6), atol=1e-10)
    np.testing.assert_allclose(plda.transform @ between @ plda.transform.T, np.diag(plda.psi), atol=1e-10)
    assert (np.diff(plda.psi) <= 0).all()
    np.testing.assert_allclose(plda.covariances(), (within, between), atol=1e-10)


def test_a_tiny_negative_eigenvalue_becomes_0():
    between = np.diag([1.0, 0.0, -1e-17])
    assert Plda.from_covariances(np.zeros(3), np.eye(3), between).psi.tolist() == [1.0, 0.0, 0.0]


def test_no_vectors_are_projected_to_none():
    assert random_plda().project(np.empty((0, 5)), np.empty(0, np.int64)).shape == (0, 5)


def test_normalised_vectors_have_the_length_that_the_model_expects():
    """z' Cov(z)^-1 z = D, where Cov(z) = diag(psi) + I/n is that of the mean of n utterances; simple: z'z = D."""
    plda, vectors = random_plda(), np.random.default_rng(2).standard_normal((3, 5))
    counts = np.array([1, 4, 30])
    for vector, count, z in zip(vectors, counts, plda.project(vectors, counts), strict=True):
        covariance = np.diag(plda.psi) + np.eye(5) / count
        assert z @ np.linalg.inv(covariance) @ z == pytest.approx(5)
        direction = plda.transform @ (vector - plda.mean)
        np.testing.assert_allclose(z / np.linalg.norm(z), direction / np.linalg.norm(direction))
    np.testing.assert_allclose(plda.project(vectors, 4)[1], plda.project(vectors, counts)[1])
    np.testing.assert_allclose(np.linalg.norm(plda.project(vectors, simple=True), axis=1), np.sqrt(5))
    np.testing.assert_allclose(
        plda.project(vectors, normalize_length=False), [plda.transform @ (vector - plda.mean) for vector in vectors]
    )


def test_the_mean_has_no_direction_and_stays_0():
    plda = random_plda()
    for simple in (False, True):
        np.testing.assert_array_equal(plda.project(plda.mean[None], simple=simple), np.zeros((1, 5)))


def test_smoothing_adds_a_share_of_the_between_speaker_covariance_to_the_within_one():
    plda = random_plda()
    (within, between), smoothed = plda.covariances(), plda.smoothed(0.3)
    np.testing.assert_allclose(smoothed.covariances(), (within + 0.3 * between, between))


def test_smoothing_is_kaldis():
    smoothed, kaldi = read_plda(ORACLE / "plda").smoothed(0.1), read_plda(ORACLE / "plda_smooth")
    np.testing.assert_allclose(smoothed.transform, kaldi.transform, atol=1e-8)
    np.testing.assert_allclose(smoothed.psi, kaldi.psi, atol=1e-8)
    np.testing.assert_array_equal(smoothed.mean, kaldi.mean)


def test_vectors_of_another_dimension_are_refused():
    with pytest.raises(InputError, match="have 4 dimensions, but the PLDA was trained on 5"):
        random_plda().project(np.zeros((2, 4)))


@pytest.mark.parametrize(
    ("model", "scores", "options"),
    [
        ("plda", "norm-true_simple-false", {}),
        ("plda", "norm-true_simple-true", {"simple": True}),
        ("plda", "norm-false_simple-false", {"normalize_length": False}),
        ("plda_adapted", "adapted", {}),
        ("plda_lda", "lda", {}),
    ],
)
def test_joint_gaussians_of_projected_vectors_give_kaldis_scores(model, scores, options):
    plda = read_plda(ORACLE / model)
    enroll, test = (dict(kaldiio.load_ark(str(EMBEDDINGS / name))) for name in ("enroll.ark", "eval.ark"))
    num_utts = dict(line.split() for line in (ORACLE / "num_utts.ark").read_text().splitlines())
    if model == "plda_lda":
        lda, mean = kaldiio.load_mat(str(EMBEDDINGS / "lda.mat")), kaldiio.load_mat(str(EMBEDDINGS / "mean.vec"))
        for vectors in (enroll, test):
            for name, vector in vectors.items():
                reduced = lda[:, :-1] @ (vector - mean) + lda[:, -1]
                vectors[name] = reduced * np.sqrt(len(reduced)) / np.linalg.norm(reduced)
    lines = (ORACLE / f"scores_plda_{scores}").read_text().splitlines()
    assert len(lines) > 1000
    for line in lines[::17]:
        model_name, utterance, expected = line.split()
        count = int(num_utts[model_name])
        first = plda.project(enroll[model_name][None], count, **options)[0]
        second = plda.project(test[utterance][None], **options)[0]
        assert log_likelihood_ratio(plda, first, second, count) == pytest.approx(float(expected), abs=1e-3)
