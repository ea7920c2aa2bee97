"""Normalisations against their definitions."""

from __future__ import annotations

import numpy as np
import torch

from spk.nets.normalization import NORMALIZATIONS


def test_instance_normalization_equals_torchs():
    x = torch.randn(3, 5, 20) * 4 + 2
    expected = torch.nn.functional.instance_norm(x, eps=1e-5)
    torch.testing.assert_close(NORMALIZATIONS.build("n", "instance", num_bins=5)(x), expected, rtol=1e-4, atol=1e-5)


def test_frame_normalization_equals_its_definition_and_leaves_silence_finite():
    x = np.random.default_rng(3).exponential(size=(2, 6, 4)).astype(np.float32)
    x[1, :, 2] = 0
    expected = (x - x.mean(axis=1, keepdims=True)) / (x.std(axis=1, keepdims=True) + 1e-5)
    expected[1, :, 3] = 0
    normalized = NORMALIZATIONS.build("n", "frame", num_bins=6)(torch.from_numpy(x), torch.tensor([4, 3]))
    np.testing.assert_allclose(normalized.numpy(), expected, rtol=1e-4, atol=1e-5)
