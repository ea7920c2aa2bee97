"""Sizes after each layer as the papers' tables give them, bins x frames."""

from __future__ import annotations

import pytest
import torch

from spk.errors import InputError
from spk.nets import NETWORKS


def sizes_of(network, layers, num_bins, num_frames):
    sizes = []
    for layer in layers:
        layer.register_forward_hook(lambda _layer, _input, output: sizes.append(tuple(output[0].shape[1:])))
    with torch.no_grad():
        network.eval()(torch.zeros(1, num_frames, num_bins))
    return sizes


def test_vgg_m_has_the_sizes_of_nagrani_et_al():
    with torch.device("meta"):
        network = NETWORKS.build("network", "vgg_m", num_bins=512)
        assert sizes_of(network, network.layers, 512, 300) == [
            (96, 254, 148),
            (96, 126, 73),
            (256, 62, 36),
            (256, 30, 17),
            (384, 30, 17),
            (256, 30, 17),
            (256, 30, 17),
            (256, 9, 8),
            (4096, 1, 8),
        ]
    assert network.embedding.out_features == 1024


def test_vgg_m_takes_no_fewer_bins_than_its_second_convolution_needs():
    """17 bins are 7 after conv1, 3 after the max-pool, 1 after conv2; 16 are 6, 2, and less than none."""
    NETWORKS.build("network", "vgg_m", num_bins=17)
    with pytest.raises(InputError, match="vgg_m needs at least 17 bins, but the front end gives 16"):
        NETWORKS.build("network", "vgg_m", num_bins=16)


def test_thin_resnet34_ghostvlad_has_the_sizes_of_xie_et_al():
    with torch.device("meta"):
        network = NETWORKS.build("network", "thin_resnet34_ghostvlad", num_bins=257)
        layers = [network.stem, network.stem_pool, *network.blocks, network.last_pool, network.frames]
        assert sizes_of(network, layers, 257, 256) == [
            (64, 257, 256),
            (64, 128, 128),
            *[(96, 128, 128)] * 2,
            *[(128, 64, 64)] * 3,
            *[(256, 32, 32)] * 3,
            *[(512, 16, 16)] * 3,
            (512, 7, 16),
            (512, 1, 16),
        ]
    assert network.pooling.out_dim == 8 * 512


@pytest.mark.parametrize(("name", "widths"), [("resnet34", (64, 128, 256, 512)), ("resnet50", (256, 512, 1024, 2048))])
def test_resnets_have_the_sizes_of_chung_et_al(name, widths):
    with torch.device("meta"):
        network = NETWORKS.build("network", {"name": name, "frequency": "each"}, num_bins=257)
        sizes = sizes_of(network, [network.stem, network.max_pool, *network.blocks], 257, 256)
    expected = [(64, 129, 128), (64, 65, 64)]
    for width, blocks, bins, frames in zip(widths, (3, 4, 6, 3), (65, 33, 17, 9), (64, 32, 16, 8), strict=True):
        expected += [(width, bins, frames)] * blocks
    assert sizes == expected
    assert network.embedding.in_features == 9 * widths[-1]
