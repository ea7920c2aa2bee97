"""Euclidean scoring against one pair of crops at a time."""

from __future__ import annotations

import numpy as np
import pytest

import spk.backend.euclidean
from spk.backend import BACKENDS
from spk.errors import InputError


@pytest.mark.parametrize("length_normalize", [True, False])
@pytest.mark.parametrize("crops", [1, 4])
def test_the_score_is_minus_the_mean_distance_between_crops(length_normalize, crops, monkeypatch):
    monkeypatch.setattr(spk.backend.euclidean, "VALUES_PER_BLOCK", 3 * crops * 16)
    random = np.random.default_rng(0)
    enroll, test = (random.standard_normal((n, crops, 16)).astype(np.float32) * 3 for n in (5, 7))
    enroll_index, test_index = random.integers(5, size=40), random.integers(7, size=40)
    backend = BACKENDS.build("backend", {"name": "euclidean", "length_normalize": length_normalize})
    scores = backend.score(backend.represent(enroll), backend.represent(test), enroll_index, test_index)

    def point(x: np.ndarray) -> np.ndarray:
        return x / np.linalg.norm(x) if length_normalize else x

    expected = [
        -np.mean([np.linalg.norm(point(x) - point(y)) for x in enroll[e] for y in test[t]])
        for e, t in zip(enroll_index, test_index, strict=True)
    ]
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_one_vector_is_at_distance_0_from_itself():
    backend = BACKENDS.build("backend", "euclidean")
    table = backend.represent(np.random.default_rng(0).standard_normal((3, 1, 512)).astype(np.float32))
    index = np.arange(3)
    assert backend.score(table, table, index, index) == pytest.approx([0, 0, 0], abs=1e-7)


def test_only_euclidean_knows_length_normalize():
    with pytest.raises(InputError, match="length_normalize: unknown key"):
        BACKENDS.build("backend", {"name": "cosine", "length_normalize": True})
