"""Features made several utterances at a time, as on a GPU, against one by one: in the ark a code apart at most."""

from __future__ import annotations

import numpy as np
import pytest

from spk.data.ark_format import encode_matrix
from spk.feats import FRONT_ENDS
from spk.feats.analysis import OneByOne, Together


@pytest.mark.parametrize("name", list(FRONT_ENDS))
def test_together_a_code_differs_by_one_at_most(name):
    random = np.random.default_rng(0)
    waves = [(0.1 * random.standard_normal(length)).astype(np.float32) for length in (4000, 33000, 700, 16000)]
    one_by_one = OneByOne(FRONT_ENDS.build("features", name))
    together = Together(FRONT_ENDS.build("features", name), "cpu")
    for alone, shared in zip(one_by_one(waves), together(waves), strict=True):
        assert alone.shape == shared.shape and shared.dtype == np.float32
        codes = [np.frombuffer(encode_matrix(features, 5)[22:], np.uint8) for features in (alone, shared)]
        assert len(codes[0]) == alone.size
        assert np.abs(codes[0].astype(int) - codes[1]).max() <= 1
