"""Length normalisation by its definition."""

from __future__ import annotations

import numpy as np
import pytest

from spk.backend.length import length_sqrt_dim, unit_length


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("function", "length"), [(unit_length, 1.0), (length_sqrt_dim, 3.0)])
def test_vectors_keep_their_direction_and_type_and_get_the_length(function, length, dtype):
    vectors = np.random.default_rng(0).standard_normal((2, 5, 9)).astype(dtype)
    scaled = function(vectors)
    assert scaled.dtype == dtype
    np.testing.assert_allclose(np.linalg.norm(scaled, axis=-1), length, rtol=1e-6)
    cosines = (scaled * vectors).sum(axis=-1) / np.linalg.norm(vectors, axis=-1) / length
    np.testing.assert_allclose(cosines, 1.0, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_vector_of_length_0_has_no_direction():
    assert np.isnan(length_sqrt_dim(np.zeros((1, 4)))).all()
