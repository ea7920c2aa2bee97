"""Statistics of speakers, gathered in blocks, against their definition."""

from __future__ import annotations

import numpy as np
import pytest

from spk.backend.speaker_statistics import SpeakerStatistics, speaker_statistics


def drawn(dim: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    speakers = random.permutation(np.repeat(np.arange(9), random.integers(1, 8, size=9)))
    return random.standard_normal((len(speakers), dim)) + speakers[:, None], speakers


def gathered(x: np.ndarray, speakers: np.ndarray, size: int = 5) -> SpeakerStatistics:
    order = np.random.default_rng(1).permutation(len(x))
    blocks = [order[first : first + size] for first in range(0, len(x), size)]
    return speaker_statistics(((rows, x[rows]) for rows in blocks), speakers)


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_counts_means_and_covariances_are_those_of_the_definition(size):
    x, speakers = drawn()
    statistics = gathered(x, speakers, size)
    means = np.stack([x[speakers == speaker].mean(axis=0) for speaker in range(9)])
    assert statistics.counts.tolist() == [np.count_nonzero(speakers == speaker) for speaker in range(9)]
    assert (statistics.num_utterances, statistics.num_speakers, statistics.dim) == (len(x), 9, 4)
    np.testing.assert_allclose(statistics.means, means)
    np.testing.assert_allclose(statistics.mean, x.mean(axis=0))
    np.testing.assert_allclose(statistics.within, np.cov((x - means[speakers]).T, bias=True), atol=1e-12)
    np.testing.assert_allclose(statistics.between, np.cov(means[speakers].T, bias=True), atol=1e-12)
    np.testing.assert_allclose(statistics.total, np.cov(x.T, bias=True), atol=1e-12)


def test_those_of_mapped_embeddings_are_mapped_ones():
    x, speakers = drawn()
    mean, matrix = np.arange(4.0), np.random.default_rng(2).standard_normal((3, 4))
    mapped, expected = gathered(x, speakers).mapped(mean, matrix), gathered((x - mean) @ matrix.T, speakers)
    np.testing.assert_allclose(mapped.means, expected.means)
    np.testing.assert_allclose(mapped.scatter, expected.scatter)


def test_embeddings_far_from_0_keep_their_digits():
    x, speakers = drawn()
    x = np.round(x * 1024) / 1024  # so that the sum is exact
    near, far = gathered(x, speakers), gathered(x + 2.0**30, speakers)
    np.testing.assert_allclose(far.scatter, near.scatter, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(far.means - 2.0**30, near.means, atol=1e-6)


def test_a_singular_covariance_is_noticed_whatever_the_scale():
    x, speakers = drawn()
    assert not gathered(x, speakers).within_is_singular()
    assert not gathered(x * [1, 1e-6, 1e6, 1], speakers).within_is_singular()
    assert gathered(x[:, [0, 1, 2, 0]].astype(np.float32) * np.float32([1, 1, 1, 3.3]), speakers).within_is_singular()
    assert gathered(x * [1, 0, 1, 1], speakers).within_is_singular()
    assert gathered(*drawn(dim=len(x) - 8)).within_is_singular()
