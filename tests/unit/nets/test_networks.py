"""Contracts that every network, pooling and normalisation keeps; registering one gets it tested."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from spk.errors import InputError
from spk.nets import NETWORKS
from spk.nets.complexity import measure_complexity
from spk.nets.embedder import build_embedder
from spk.nets.normalization import NORMALIZATIONS
from spk.nets.pooling import POOLINGS

BINS = 40
FRONT_ENDS_BINS = (40, 64, 80, 161, 257)
EVERY_PAIR = [(network, pooling) for network in NETWORKS for pooling in POOLINGS]
# Networks of this width still have a few channels in each layer: with one, many are dead and show nothing.
NARROW = 0.125


def build(network="fast_resnet34", normalization="instance", num_bins=BINS, **arguments):
    torch.manual_seed(0)
    section = {"name": network, "channels": NARROW, "embedding_dim": 12, **arguments}
    embedder = build_embedder(normalization, section, num_bins=num_bins)
    # Batch norms that do something: an identity would hide a missing mask.
    for module in embedder.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                torch.nn.init.normal_(module.weight, 1, 0.1)
                torch.nn.init.normal_(module.bias, 0, 0.3)
    return embedder


def assert_padding_does_not_show(embedder):
    """What lies past the end of an utterance is noise here; the lengths are no multiples of any stride."""
    embedder = embedder.eval()
    lengths = embedder.min_frames + torch.tensor([1, 12, 30, 22])
    features = torch.randn(len(lengths), int(lengths.max()), BINS) * 3 + 1
    with torch.no_grad():
        alone = torch.cat([embedder(features[i : i + 1, :length]) for i, length in enumerate(lengths)])
        together = embedder(features, lengths)
    scale = alone.abs().max()
    spread = (alone - alone.mean(dim=0)).abs().max()
    assert spread > 1e-3 * scale, "these embeddings hardly depend on the input, so they would show nothing"
    assert (together - alone).abs().max() < 1e-5 * scale


@pytest.mark.parametrize(("network", "pooling"), EVERY_PAIR)
def test_a_padded_batch_embeds_as_each_utterance_does_alone(network, pooling):
    assert_padding_does_not_show(build(network, pooling=pooling))


@pytest.mark.parametrize("normalization", list(NORMALIZATIONS))
@pytest.mark.parametrize("network", ["fast_resnet34", "xvector"])
def test_a_padded_batch_embeds_as_each_utterance_does_alone_with_every_normalization(network, normalization):
    assert_padding_does_not_show(build(network, normalization))


@pytest.mark.parametrize(
    ("network", "normalization"),
    [(network, "none") for network in NETWORKS]
    + [("fast_resnet34", normalization) for normalization in NORMALIZATIONS],
)
def test_inference_leaves_the_callers_features_as_they_are(network, normalization, tmp_path):
    embedder = build(network, normalization).eval()
    lengths = embedder.min_frames + torch.tensor([20, 1])
    features = np.random.default_rng(0).standard_normal((2, int(lengths.max()), BINS), dtype=np.float32)
    np.save(tmp_path / "features.npy", features)
    with torch.inference_mode():
        given = torch.from_numpy(features.copy())
        embedder(given, lengths)
        assert np.array_equal(given.numpy(), features)
        with warnings.catch_warnings(action="ignore"):  # torch has no tensors that cannot be written to
            read_only = torch.from_numpy(np.load(tmp_path / "features.npy", mmap_mode="r"))
        embedder(read_only, lengths)  # a write to it would end the process


@pytest.mark.parametrize("network", ["resnet34", "resnet50"])
def test_padding_does_not_show_with_the_bins_side_by_side(network):
    assert_padding_does_not_show(build(network, frequency="each"))


@pytest.mark.parametrize("more_frames", [0, 21])
@pytest.mark.parametrize("channels", [NARROW, 1e-9], ids=["narrow", "one channel"])
@pytest.mark.parametrize(("network", "pooling"), EVERY_PAIR)
def test_gradients_are_finite_and_reach_every_parameter(network, pooling, channels, more_frames):
    embedder = build(network, pooling=pooling, channels=channels).train()
    embedder(torch.randn(3, embedder.min_frames + more_frames, BINS)).square().sum().backward()
    for name, parameter in embedder.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("network", list(NETWORKS))
def test_the_shortest_input_embeds_and_one_frame_fewer_is_refused_by_number(network):
    embedder = build(network).eval()
    least = embedder.min_frames
    features = torch.randn(2, least + 9, BINS)
    assert embedder(features[:, :least]).isfinite().all()
    assert embedder(features, torch.tensor([least, least + 9])).isfinite().all()
    message = rf"an input of {least - 1} frames is too short: this network needs {least}$"
    with pytest.raises(InputError, match=message):
        embedder(features[:, : least - 1])
    with pytest.raises(InputError, match=message):
        embedder(features, torch.tensor([least - 1, least + 9]))
    if least > 1:
        with pytest.raises(RuntimeError):  # so that no shorter input could have been embedded
            embedder.network(features[:, : least - 1])


@pytest.mark.parametrize("num_bins", FRONT_ENDS_BINS)
@pytest.mark.parametrize("network", list(NETWORKS))
def test_every_network_takes_every_front_end(network, num_bins):
    embedder = build(network, num_bins=num_bins).eval()
    embeddings = embedder(torch.randn(2, embedder.min_frames + 3, num_bins))
    assert embeddings.shape == (2, 12)
    assert embeddings.isfinite().all()


@pytest.mark.parametrize("network", list(NETWORKS))
def test_too_few_bins_are_refused_by_number_and_the_least_that_is_named_will_do(network):
    for num_bins in range(1, 33):
        try:
            embedder = build(network, num_bins=num_bins).eval()
        except InputError as error:
            assert f"the front end gives {num_bins}" in str(error)
            least = int(str(error).split("at least ")[1].split()[0])
            assert num_bins < least
        else:
            assert embedder(torch.randn(1, embedder.min_frames, num_bins)).isfinite().all()
            break
    if num_bins > 1:
        assert num_bins == least


# Sizes by hand or as published, multiply-adds as the docstrings say.
@pytest.mark.parametrize(
    ("section", "num_bins", "num_frames", "parameters", "multiply_adds"),
    [
        ({"name": "fast_resnet34"}, 40, 202, 1.44e6, 0.448e9),
        ({"name": "thin_resnet34"}, 257, 200, 1.44e6, 0.98e9),
        ({"name": "thin_resnet34_cai", "embedding_dim": 128}, 64, 200, 1.37e6, 0.91e9),
        ({"name": "thin_resnet34_cai", "se": True}, 64, 200, 1.44e6, 0.91e9),
        ({"name": "vgg_m_40"}, 40, 202, 4.03e6, 0.53e9),
        ({"name": "rescnn"}, 161, 298, 27.5e6, 16.9e9),
        ({"name": "rescnn", "frequency_parts": 4}, 161, 298, 29.05e6, 16.9e9),
        # He et al.'s networks without their last layer, 21.28 M and 23.51 M; 512 or 2048 inputs of the embedding a bin
        ({"name": "resnet34", "embedding_dim": 128}, 64, 200, 21.28e6 + 512 * 128, 0.95e9),
        ({"name": "resnet34"}, 257, 300, 21.28e6 + 512 * 512, 5.9e9),
        ({"name": "resnet34", "frequency": "each"}, 257, 300, 21.28e6 + 9 * 512 * 512, 5.9e9),
        ({"name": "resnet50"}, 257, 300, 23.51e6 + 2048 * 512, 6.3e9),
        ({"name": "resnet50", "frequency": "each"}, 257, 300, 23.51e6 + 9 * 2048 * 512, 6.3e9),
        # conv1, conv2, conv3 to conv5, fc6 on 9 bins, fc7
        ({"name": "vgg_m"}, 512, 300, 4_704 + 614_400 + 2_359_296 + 9_437_184 + 4_194_304, 2.8e9),
        # Table 1 of Snyder et al.: inputs x outputs of frame1 to frame5 and of segment6
        ({"name": "xvector"}, 24, 300, 120 * 512 + 2 * 1536 * 512 + 512 * 512 + 512 * 1500 + 3000 * 512, 0.77e9),
        ({"name": "thin_resnet34_ghostvlad"}, 257, 250, 7.6e6, 3.9e9),
    ],
)
def test_networks_have_the_size_that_is_published_or_stated(section, num_bins, num_frames, parameters, multiply_adds):
    with torch.device("meta"):
        network = NETWORKS.build("network", section, num_bins=num_bins)
        counted = measure_complexity(network, torch.empty(1, num_frames, num_bins))
    assert counted.parameters == pytest.approx(parameters, rel=0.005)
    assert counted.multiply_adds == pytest.approx(multiply_adds, rel=0.02)


def test_thin_resnet34_ghostvlad_has_the_layers_of_its_paper():
    """The stages by table 1 of Xie et al.: 1x1, 3x3, 1x1 convolutions, the first block of each with a projection."""
    network = NETWORKS.build("network", {"name": "thin_resnet34_ghostvlad"}, num_bins=257)

    def stage(inputs, inner, outputs, blocks):
        norms = blocks * 2 * (2 * inner + outputs) + 2 * outputs
        first = inputs * inner + 9 * inner * inner + inner * outputs + inputs * outputs
        return norms + first + (blocks - 1) * (2 * outputs * inner + 9 * inner * inner)

    stages = stage(64, 48, 96, 2) + stage(96, 96, 128, 3) + stage(128, 128, 256, 3) + stage(256, 256, 512, 3)
    stem = 49 * 64 + 2 * 64
    frames = 7 * 512 * 512 + 512
    vlad = 10 * 512 + 10 + 8 * 512
    embedding = 8 * 512 * 512 + 512
    assert sum(p.numel() for p in network.parameters()) == stem + stages + frames + vlad + embedding


def test_an_unknown_pooling_is_refused_by_name():
    with pytest.raises(InputError, match=r"network\.pooling\.name: no pooling is named 'asq'; did you mean 'asp'"):
        build(pooling="asq")
