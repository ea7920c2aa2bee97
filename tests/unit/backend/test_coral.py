"""CORAL by its definition: one covariance becomes the other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from spk.backend.coral import coral_matrix
from spk.errors import InputError


def covariances(dim: int = 5) -> tuple[np.ndarray, np.ndarray]:
    factors = np.random.default_rng(0).standard_normal((2, dim, 2 * dim))
    return factors[0] @ factors[0].T, 3 * factors[1] @ factors[1].T


def test_mapped_embeddings_have_the_in_domain_covariance():
    out_of_domain, in_domain = covariances()
    matrix = coral_matrix(out_of_domain, in_domain, regularization=0)
    np.testing.assert_allclose(matrix @ out_of_domain @ matrix.T, in_domain)


def test_it_is_the_algorithm_of_the_paper_where_variances_are_1():
    """Sun et al., algorithm 1: D_S (cov(D_S) + I)^(-1/2) (cov(D_T) + I)^(1/2), rows of D_S being embeddings."""
    out_of_domain, in_domain = covariances()
    scale = np.sqrt(np.diag(out_of_domain))
    out_of_domain /= np.outer(scale, scale)
    expected = np.linalg.inv(sqrtm(out_of_domain + np.eye(5))) @ sqrtm(in_domain + np.eye(5))
    np.testing.assert_allclose(coral_matrix(out_of_domain, in_domain), expected.T)


def test_the_scale_of_embeddings_does_not_matter():
    out_of_domain, in_domain = covariances()
    np.testing.assert_allclose(
        coral_matrix(100 * out_of_domain, 100 * in_domain), coral_matrix(out_of_domain, in_domain)
    )


def test_a_singular_covariance_needs_regularization():
    out_of_domain, in_domain = covariances()
    in_domain[0] = in_domain[:, 0] = 0
    assert np.linalg.cond(coral_matrix(out_of_domain, in_domain)) < 1e3
    with pytest.raises(InputError, match=r"covariance of 5 dimensions is singular; .*--coral-regularization"):
        coral_matrix(out_of_domain, in_domain, regularization=0)


def test_embeddings_of_another_dimension_are_refused():
    with pytest.raises(InputError, match="in-domain embeddings have 4 dimensions, but those to train on have 5"):
        coral_matrix(covariances()[0], np.eye(4))
