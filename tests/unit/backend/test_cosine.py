"""Cosine scoring against one pair at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spk.backend import BACKENDS
from spk.backend.cosine import dot_products


def cosine(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x.astype(np.float64), y.astype(np.float64)
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


@given(
    st.integers(1, 5), st.integers(1, 40), st.integers(1, 6), st.integers(1, 6), st.integers(1, 30), st.integers(0, 99)
)
def test_the_score_is_the_mean_of_all_cosines_between_crops(crops, dim, num_enroll, num_test, num_trials, seed):
    random = np.random.default_rng(seed)
    enroll = random.standard_normal((num_enroll, crops, dim)).astype(np.float32)
    test = random.standard_normal((num_test, crops, dim)).astype(np.float32)
    enroll_index, test_index = random.integers(num_enroll, size=num_trials), random.integers(num_test, size=num_trials)
    backend = BACKENDS.build("backend", "cosine")
    scores = backend.score(backend.represent(enroll), backend.represent(test), enroll_index, test_index)
    expected = [
        np.mean([cosine(x, y) for x in enroll[e] for y in test[t]])
        for e, t in zip(enroll_index, test_index, strict=True)
    ]
    np.testing.assert_allclose(scores, expected, atol=1e-6)


@pytest.mark.parametrize("dim", [1, 3, 192, 512])
def test_blocks_of_any_size_give_the_same_bits(dim):
    random = np.random.default_rng(dim)
    enroll = random.standard_normal((50, dim)).astype(np.float32)
    test = random.standard_normal((60, dim)).astype(np.float32)
    enroll_index, test_index = random.integers(50, size=1000), random.integers(60, size=1000)
    whole = dot_products(enroll, test, enroll_index, test_index, values_per_block=1 << 30)
    for values_per_block in (1, dim, 7 * dim, 64 * dim, 999 * dim):
        parts = dot_products(enroll, test, enroll_index, test_index, values_per_block)
        assert parts.tobytes() == whole.tobytes()


def test_long_and_short_embeddings_lose_nothing():
    """Lengths beyond the square root of the largest float32 are in reach of no overflow."""
    backend = BACKENDS.build("backend", "cosine")
    directions = np.random.default_rng(0).standard_normal((2, 1, 8)).astype(np.float32)
    expected = cosine(directions[0, 0], directions[1, 0])
    for scale in (1e-25, 1.0, 1e25):
        table = backend.represent((directions * scale).astype(np.float32))
        assert backend.score(table, table, np.array([0]), np.array([1]))[0] == pytest.approx(expected, abs=1e-6)
