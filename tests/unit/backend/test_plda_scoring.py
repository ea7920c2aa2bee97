"""PLDA scoring against Kaldi's program, and against the densities of its definition one trial at a time."""

from __future__ import annotations

import shutil
from pathlib import Path

import kaldiio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

import spk.backend.plda_scoring
from spk.backend import BACKENDS
from spk.backend.models import read_models
from spk.backend.plda import Plda
from spk.backend.plda_files import read_plda, write_plda
from spk.backend.plda_scoring import read_plda_backend
from spk.backend.registry import backend_while_training
from spk.backend.scoring import score_trials
from spk.data.trials import read_trials
from spk.embed.write import write_embeddings
from spk.errors import InputError

KALDI = Path(__file__).parents[2] / "data" / "kaldi"
PLDA = Path(__file__).parents[2] / "data" / "plda"


@pytest.fixture(scope="module")
def embeddings(tmp_path_factory) -> Path:
    """The embeddings of the utterances of Kaldi's trials and of its enrolment."""
    folder = tmp_path_factory.mktemp("eval")
    names, vectors = zip(*kaldiio.load_ark(str(KALDI / "eval.ark")), strict=True)
    write_embeddings(str(folder / "embedding"), list(names), np.stack(vectors))
    return folder


def backend_dir(folder: Path, plda: str, scales_lengths: bool, transform: bool) -> Path:
    """A back-end directory made of Kaldi's files."""
    shutil.copy(PLDA / plda, folder / "plda")
    (folder / "plda.json").write_text(f'{{"length_normalize": {str(scales_lengths).lower()}}}')
    if transform:
        shutil.copy(KALDI / "mean.vec", folder)
        shutil.copy(KALDI / "lda.mat", folder / "transform.mat")
    return folder


@pytest.mark.parametrize(
    ("scores", "plda", "with_lda", "normalize", "simple"),
    [
        ("norm-true_simple-false", "plda", False, True, False),
        ("norm-true_simple-true", "plda", False, True, True),
        ("norm-false_simple-false", "plda", False, False, False),
        ("norm-false_simple-true", "plda", False, False, True),
        ("adapted", "plda_adapted", False, True, False),
        ("lda", "plda_lda", True, True, False),
    ],
)
def test_scores_are_those_of_kaldis_ivector_plda_scoring(
    tmp_path, embeddings, scores, plda, with_lda, normalize, simple
):
    """From utterances to enrolled models and scores; with LDA, vectors are scaled to length sqrt(D) after it."""
    transform, given = read_plda_backend(backend_dir(tmp_path, plda, scales_lengths=with_lda, transform=with_lda))
    section = {"name": "plda", "normalize_length": normalize, "simple_length_normalization": simple}
    backend = BACKENDS.build("backend", section, **given)
    trials, models = read_trials(KALDI / "trials"), read_models(PLDA / "enroll.spk2utt")
    values = score_trials(trials, embeddings, embeddings, backend, transform, models)
    expected = [line.split() for line in (PLDA / f"scores_plda_{scores}").read_text().splitlines()]
    assert [trials.names(line) for line in range(len(trials))] == [" ".join(fields[:2]) for fields in expected]
    assert values.dtype == np.float64
    np.testing.assert_allclose(values, [float(fields[2]) for fields in expected], atol=1e-4)


def random_plda(dim: int, seed: int) -> tuple[Plda, np.ndarray, np.ndarray]:
    """A model and its covariances within and between speakers, drawn without the model's own arithmetic."""
    random = np.random.default_rng(seed)
    within, between = (mix @ mix.T / dim for mix in random.standard_normal((2, dim, dim + 2)))
    return Plda.from_covariances(random.standard_normal(dim), within, between), within, between


def log_likelihood_ratio(
    enroll_mean: np.ndarray, count: int, test: np.ndarray, mean: np.ndarray, within: np.ndarray, between: np.ndarray
) -> float:
    """log p(enroll, test | one speaker) - log p(enroll) - log p(test), jointly Gaussian."""
    of_enroll, of_test = between + within / count, between + within
    joint = np.block([[of_enroll, between], [between, of_test]])
    return (
        multivariate_normal(np.concatenate([mean, mean]), joint).logpdf(np.concatenate([enroll_mean, test]))
        - multivariate_normal(mean, of_enroll).logpdf(enroll_mean)
        - multivariate_normal(mean, of_test).logpdf(test)
    )


@pytest.mark.parametrize("block", [1, 20, 1 << 20])
@pytest.mark.parametrize("counts", [None, [3] * 7, [1, 2, 2, 30, 1, 7, 2]])
def test_the_score_is_the_likelihood_ratio_of_the_joint_gaussians(monkeypatch, block, counts):
    monkeypatch.setattr(spk.backend.plda_scoring, "VALUES_PER_BLOCK", block)
    monkeypatch.setattr(spk.backend.plda_scoring, "PAIRS_PER_BLOCK", block)
    plda, within, between = random_plda(4, seed=1)
    backend = BACKENDS.build("backend", {"name": "plda", "normalize_length": False}, plda=plda, scale_lengths=False)
    random = np.random.default_rng(0)
    enroll, test = (2 * random.standard_normal((n, 1, 4)).astype(np.float32) for n in (7, 5))
    enroll_index, test_index = random.integers(7, size=40), random.integers(5, size=40)
    num_utterances = None if counts is None else np.array(counts)
    expected = np.array(
        [
            [
                log_likelihood_ratio(e, 1 if counts is None else counts[row], t, plda.mean, within, between)
                for t in test[:, 0].astype(np.float64)
            ]
            for row, e in enumerate(enroll[:, 0].astype(np.float64))
        ]
    )
    enroll, test = backend.represent(enroll), backend.represent(test)
    scores = backend.score(enroll, test, enroll_index, test_index, num_utterances)
    np.testing.assert_allclose(scores, expected[enroll_index, test_index], rtol=1e-7, atol=1e-8)
    pairs = np.concatenate(list(backend.all_pairs(enroll, test, num_utterances)))
    np.testing.assert_allclose(pairs, expected, rtol=1e-7, atol=1e-8)


@given(st.integers(1, 6), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 99))
def test_a_trial_scores_the_same_alone_and_among_many_with_all_length_normalisations(
    dim, scale, normalize, simple, seed
):
    random = np.random.default_rng(seed)
    section = {"name": "plda", "normalize_length": normalize, "simple_length_normalization": simple}
    backend = BACKENDS.build("backend", section, plda=random_plda(dim, seed)[0], scale_lengths=scale)
    enroll, test = (random.standard_normal((n, dim)).astype(np.float32) for n in (6, 4))
    counts = random.integers(1, 4, size=6)
    enroll_index, test_index = random.integers(6, size=20), random.integers(4, size=20)
    scores = backend.score(enroll, test, enroll_index, test_index, counts)
    zero = np.zeros(1, int)
    alone = [
        backend.score(enroll[[e]], test[[t]], zero, zero, counts[[e]])[0]
        for e, t in zip(enroll_index, test_index, strict=True)
    ]
    np.testing.assert_allclose(scores, alone, rtol=1e-9, atol=1e-9)
    pairs = np.concatenate(list(backend.all_pairs(enroll, test, counts)))
    np.testing.assert_allclose(pairs[enroll_index, test_index], scores, rtol=1e-9, atol=1e-9)


def test_lengths_are_scaled_after_the_utterances_of_a_model_are_averaged():
    """Scaled to length sqrt(D) and not within the model, a longer vector of the same direction has the same score."""
    backend = BACKENDS.build(
        "backend", {"name": "plda", "normalize_length": False}, plda=random_plda(3, 0)[0], scale_lengths=True
    )
    x = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    index = np.arange(3)
    scores = backend.score(x, x, index, index + 1)
    np.testing.assert_allclose(backend.score(5 * x, x / 3, index, index + 1), scores, rtol=1e-6)
    scaled = x * (np.sqrt(3) / np.linalg.norm(x, axis=1, keepdims=True))
    plain = BACKENDS.build(
        "backend", {"name": "plda", "normalize_length": False}, plda=backend.plda, scale_lengths=False
    )
    np.testing.assert_allclose(plain.score(scaled, scaled, index, index + 1), scores, rtol=1e-5)


def test_a_vector_of_another_dimension_than_the_model_is_refused():
    backend = BACKENDS.build("backend", "plda", plda=random_plda(3, 0)[0])
    with pytest.raises(InputError, match="embeddings have 4 dimensions, but the PLDA was trained on 3"):
        backend.represent(np.ones((2, 1, 4), np.float32))


def test_the_crops_of_an_utterance_are_averaged():
    backend = BACKENDS.build("backend", "plda", plda=random_plda(3, 0)[0])
    crops = np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32)
    np.testing.assert_allclose(backend.represent(crops), crops.mean(axis=1), rtol=1e-6)


def test_a_back_end_directory_says_what_comes_before_the_model(tmp_path):
    with pytest.raises(InputError, match=r"plda: no such file; train the back-end first \(steps/train_plda\)"):
        read_plda_backend(tmp_path)
    write_plda(tmp_path / "plda", random_plda(3, 0)[0])
    assert read_plda_backend(tmp_path)[0] is None
    assert read_plda_backend(tmp_path)[1]["scale_lengths"]
    (tmp_path / "plda.json").write_text('{"length_normalize": false}')
    assert not read_plda_backend(tmp_path)[1]["scale_lengths"]
    kaldiio.save_mat(str(tmp_path / "mean.vec"), np.arange(3, dtype=np.float32))
    np.testing.assert_array_equal(read_plda_backend(tmp_path)[0](np.ones((1, 3), "f4")), [[1, 0, -1]])
    kaldiio.save_mat(str(tmp_path / "transform.mat"), 2 * np.eye(3, dtype=np.float32))
    np.testing.assert_array_equal(read_plda_backend(tmp_path)[0](np.ones((1, 3), "f4")), [[2, 0, -2]])
    for text in ("", "{}", "[]", '{"length_normalize": 1}'):
        (tmp_path / "plda.json").write_text(text)
        with pytest.raises(InputError, match=r"plda\.json: has no length_normalize"):
            read_plda_backend(tmp_path)


def test_a_transform_without_its_mean_is_refused(tmp_path):
    write_plda(tmp_path / "plda", read_plda(PLDA / "plda"))
    kaldiio.save_mat(str(tmp_path / "transform.mat"), np.eye(3, dtype=np.float32))
    with pytest.raises(InputError, match=r"mean\.vec: no such file"):
        read_plda_backend(tmp_path)


def test_a_system_to_be_evaluated_by_plda_is_validated_by_cosine():
    assert backend_while_training(BACKENDS.check("evaluation.backend", "plda")) == {"name": "cosine"}
    for section in ({"name": "cosine"}, {"name": "euclidean", "length_normalize": False}):
        assert backend_while_training(section) == section
    with pytest.raises(InputError, match="scale_lengths: unknown key"):
        BACKENDS.check("evaluation.backend", {"name": "plda", "scale_lengths": True})
