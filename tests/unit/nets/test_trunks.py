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


def test_vgg_m_40_has_the_sizes_of_its_published_code_on_two_seconds():
    with torch.device("meta"):
        network = NETWORKS.build("network", "vgg_m_40", num_bins=40)
        assert sizes_of(network, network.layers, 40, 202) == [
            (96, 40, 100),
            (96, 40, 49),
            (256, 19, 24),
            (256, 9, 11),
            (384, 9, 11),
            (256, 9, 11),
            (256, 9, 11),
            (256, 4, 5),
            (512, 1, 5),
        ]
    assert network.embedding.out_features == 1024


def test_vgg_m_40_takes_no_fewer_bins_than_its_second_convolution_needs():
    """With one zero on either side, a kernel of 5 needs 3 bins; what comes before keeps their number."""
    NETWORKS.build("network", "vgg_m_40", num_bins=3)
    with pytest.raises(InputError, match="vgg_m_40 needs at least 3 bins, but the front end gives 2"):
        NETWORKS.build("network", "vgg_m_40", num_bins=2)


# Network, bins, the sizes before the blocks, and the bins and frames of the four stages from 200 frames.
THIN = [
    ("fast_resnet34", 40, [(16, 20, 200)], (20, 10, 5, 5), (200, 100, 50, 50)),
    ("thin_resnet34", 257, [(16, 129, 200), (16, 65, 200)], (65, 33, 17, 9), (200, 100, 50, 25)),
    ("thin_resnet34_cai", 64, [(16, 64, 200)], (64, 32, 16, 8), (200, 100, 50, 25)),
]


@pytest.mark.parametrize(("name", "num_bins", "stem", "bins", "frames"), THIN, ids=[row[0] for row in THIN])
def test_thin_and_fast_resnets_have_a_quarter_of_the_channels_and_their_own_strides(name, num_bins, stem, bins, frames):
    with torch.device("meta"):
        network = NETWORKS.build("network", name, num_bins=num_bins)
        layers = [layer for layer in (network.conv1, network.max_pool, *network.blocks) if layer is not None]
        sizes = sizes_of(network, layers, num_bins, 200)
    stages = zip((16, 32, 64, 128), bins, frames, strict=True)
    assert sizes == stem + [size for size, blocks in zip(stages, (3, 4, 6, 3), strict=True) for _ in range(blocks)]
    assert (network.pooling.out_dim, network.embedding.out_features) == (128, 512)


def test_rescnn_halves_bins_and_frames_in_each_stage():
    with torch.device("meta"):
        network = NETWORKS.build("network", "rescnn", num_bins=161)
        sizes = sizes_of(network, [layer for stage in network.stages for layer in stage], 161, 298)
    stages = ((64, 81, 149), (128, 41, 75), (256, 21, 38), (512, 11, 19))
    assert sizes == [size for size, blocks in zip(stages, (3, 4, 6, 3), strict=True) for _ in range(1 + blocks)]
    assert (network.embedding.in_features, network.embedding.out_features) == (512, 1024)
    assert all(block.shortcut is None for stage in network.stages for block in list(stage)[1:])


def test_rescnn_averages_its_bins_in_as_many_parts_as_asked():
    """10 bins in 4 parts: 0 to 2, 2 to 4, 5 to 7, 7 to 9, as adaptive average pooling cuts them; time all in one."""
    torch.manual_seed(0)
    network = NETWORKS.build("network", {"name": "rescnn", "channels": 0.05, "frequency_parts": 4}, num_bins=160).eval()
    trunk = []
    network.stages[-1][-1].register_forward_hook(lambda _layer, _input, output: trunk.append(output[0]))
    with torch.no_grad():
        embedding = network(torch.randn(2, 70, 160))
    (x,) = trunk
    assert x.shape == (2, 26, 10, 5)
    parts = [x[:, :, first : last + 1].mean(dim=(2, 3)) for first, last in ((0, 2), (2, 4), (5, 7), (7, 9))]
    torch.testing.assert_close(embedding, network.embedding(torch.stack(parts, dim=2).flatten(1)))


def test_rescnn_refuses_more_parts_than_there_are_bins_at_its_end():
    with pytest.raises(InputError, match="frequency_parts 4 needs at least 49 bins, but the front end gives 48"):
        NETWORKS.build("network", {"name": "rescnn", "channels": 0.05, "frequency_parts": 4}, num_bins=48)
    NETWORKS.build("network", {"name": "rescnn", "channels": 0.05, "frequency_parts": 4}, num_bins=49)


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
