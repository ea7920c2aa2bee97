"""Unsupervised adaptation against Kaldi's, and what it must do to the model's covariances."""

from __future__ import annotations

from pathlib import Path

import kaldiio
import numpy as np
import pytest

from spk.backend.plda import Plda
from spk.backend.plda_adaptation import adapt_plda
from spk.backend.plda_files import read_plda
from spk.errors import InputError

ORACLE = Path(__file__).parents[2] / "data" / "plda"


def test_it_is_kaldis_adapted_model_up_to_the_signs_of_rows():
    x = np.stack([vector for _, vector in kaldiio.load_ark(str(ORACLE / "adapt.ark"))]).astype(np.float64)
    plda, kaldi = read_plda(ORACLE / "plda"), read_plda(ORACLE / "plda_adapted")
    adapted = adapt_plda(plda, x.mean(axis=0), np.cov(x.T, bias=True), 0.75, 0.25)
    signs = np.sign((adapted.transform * kaldi.transform).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(adapted.mean, kaldi.mean, atol=1e-12)
    np.testing.assert_allclose(adapted.transform * signs, kaldi.transform, atol=1e-11)
    np.testing.assert_allclose(adapted.psi, kaldi.psi, atol=1e-11)


def model() -> Plda:
    random = np.random.default_rng(0)
    return Plda(random.standard_normal(3), random.standard_normal((3, 3)), np.array([4.0, 1.0, 0.25]))


def test_what_the_model_lacks_is_shared_out_to_speakers_and_utterances():
    """An in-domain covariance twice the model's: the missing once is given by the scales."""
    plda = model()
    within, between = plda.covariances()
    adapted = adapt_plda(plda, plda.mean, 2 * (within + between), 0.25, 0.75)
    expected = (within + 0.25 * (within + between), between + 0.75 * (within + between))
    np.testing.assert_allclose(adapted.covariances(), expected)


def test_a_domain_that_varies_less_changes_the_mean_alone():
    plda = model()
    adapted = adapt_plda(plda, plda.mean + 1, 0.5 * sum(plda.covariances()), mean_diff_scale=0)
    np.testing.assert_allclose(adapted.covariances(), plda.covariances(), atol=1e-12)
    np.testing.assert_allclose(adapted.mean, plda.mean + 1)


def test_another_mean_counts_as_variance_in_its_direction():
    plda = model()
    within, between = plda.covariances()
    shift = np.array([3.0, -1.0, 2.0])
    adapted = adapt_plda(plda, plda.mean + shift, within + between, 1.0, 0.0, mean_diff_scale=0.5)
    np.testing.assert_allclose(adapted.covariances(), (within + 0.5 * np.outer(shift, shift), between), atol=1e-10)


def test_embeddings_of_another_dimension_are_refused():
    with pytest.raises(InputError, match="in-domain embeddings have 4 dimensions, but the PLDA was trained on 3"):
        adapt_plda(model(), np.zeros(4), np.eye(4))
