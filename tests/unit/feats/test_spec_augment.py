"""Masks of SpecAugment: how many, how wide, where, and that the network alone sees them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from spk.config import load_system
from spk.errors import InputError
from spk.feats.spec_augment import SpecAugment
from spk.nets.embedder import Embedder
from spk.nets.normalization import NORMALIZATIONS


def runs(mask: np.ndarray) -> list[int]:
    """The lengths of the stretches of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(int), [0]])))
    return (edges[1::2] - edges[::2]).tolist()


def test_one_mask_has_every_width_and_every_place_alike():
    in_time, in_frequency = SpecAugment(1, 3, 0, 1).draw(np.random.default_rng(0), 40_000, 8, 5)
    assert in_time.shape == (40_000, 8, 1) and in_frequency.shape == (40_000, 1, 5)
    assert not in_frequency.any()
    stretches = [runs(mask) for mask in in_time[:, :, 0].numpy()]
    assert max(len(stretch) for stretch in stretches) == 1
    widths = np.bincount([sum(stretch) for stretch in stretches])
    np.testing.assert_allclose(widths / 40_000, [0.25] * 4, atol=0.01)  # 0, 1, 2 and 3 frames
    first = in_time[:, :, 0].float().argmax(dim=1).numpy()
    of_width_3 = np.bincount(first[[sum(stretch) == 3 for stretch in stretches]], minlength=6)
    np.testing.assert_allclose(of_width_3 / of_width_3.sum(), [1 / 6] * 6, atol=0.02)  # begins at 0 to 5 of 8 frames


def test_several_masks_lie_in_both_directions_and_never_beyond_the_crop():
    in_time, in_frequency = SpecAugment(2, 50, 3, 4).draw(np.random.default_rng(0), 2000, 20, 40)
    assert in_frequency[:, 0].sum(dim=1).max() == 12  # three masks of four bins, side by side
    assert max(len(runs(mask)) for mask in in_frequency[:, 0].numpy()) == 3
    assert in_time[:, :, 0].all(dim=1).any()  # a mask may be as wide as the crop is long


@pytest.mark.parametrize("name", ["instance", "mean", "global"])
def test_a_masked_value_is_0_behind_the_normalisation_and_the_others_are_as_without(name):
    class Seen(nn.Module):
        min_frames = 1

        def forward(self, x_NTF, lengths_N=None):
            return x_NTF

    embedder = Embedder(NORMALIZATIONS.build("normalization", name, num_bins=6), Seen())
    features = torch.randn(3, 30, 6) + 5
    in_time, in_frequency = SpecAugment(1, 9, 1, 3).draw(np.random.default_rng(1), 3, 30, 6)
    masked = in_time | in_frequency
    assert masked.any() and not masked.all()
    plain, seen = embedder(features), embedder(features, masked_NTF=masked)
    assert torch.equal(seen, torch.where(masked, torch.zeros(()), plain))


def test_features_without_normalisation_are_not_masked(tmp_path, root):
    path = root / "egs" / "voxceleb" / "conf" / "fast_resnet34_am.yaml"
    options = ["--augmentation.spec_augment.time_masks", "1", "--normalization.name", "none"]
    with pytest.raises(InputError, match=r"augmentation\.spec_augment: masks with 0"):
        load_system(path, options)
