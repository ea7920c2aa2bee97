"""Mean and standard deviation over time against sums over frames."""

from __future__ import annotations

import math

import kaldiio
import numpy as np
import pytest

from spk.data.ark import FeatureReader
from spk.embed.statistics import mean_and_deviation, statistics
from spk.errors import InputError


@pytest.mark.parametrize("frames", [1, 2, 57])
def test_the_first_half_are_means_and_the_second_deviations(frames):
    features = (1000 + np.random.default_rng(0).standard_normal((frames, 3))).astype(np.float32)
    result = mean_and_deviation(features)
    assert result.dtype == np.float32
    for dim in range(3):
        values = [float(value) for value in features[:, dim]]
        mean = sum(values) / frames
        deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / frames)
        assert (result[dim], result[3 + dim]) == pytest.approx((mean, deviation), rel=1e-5)


def write_features(folder, features) -> FeatureReader:
    kaldiio.save_ark(str(folder / "feats.ark"), features, scp=str(folder / "feats.scp"))
    return FeatureReader(folder / "feats.scp")


def test_every_utterance_of_a_reader_has_its_own(tmp_path):
    random = np.random.default_rng(0)
    features = {f"u{n}": random.standard_normal((n, 4)).astype(np.float32) for n in (3, 1, 9)}
    counted = []
    result = statistics(write_features(tmp_path, features), counted.append)
    np.testing.assert_array_equal(result, [mean_and_deviation(matrix) for matrix in features.values()])
    assert sum(counted) == 3


def test_features_that_are_not_finite_are_named(tmp_path):
    features = {name: np.ones((5, 2), np.float32) for name in ("a", "b", "c")}
    features["b"][3, 1] = np.nan
    with pytest.raises(InputError, match=r"feats\.scp: the features of 1 utterances are not finite, first 'b'"):
        statistics(write_features(tmp_path, features))
