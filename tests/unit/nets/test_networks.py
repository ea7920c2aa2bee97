"""Contracts that every network, pooling and normalisation keeps; registering one gets it tested."""

from __future__ import annotations

import pytest
import torch

from spk.errors import InputError
from spk.nets import NETWORKS
from spk.nets.embedder import build_embedder
from spk.nets.normalization import NORMALIZATIONS
from spk.nets.pooling import POOLINGS

BINS = 40


def build(network="fast_resnet34", normalization="instance", **arguments):
    torch.manual_seed(0)
    section = {"name": network, "channels": 0.25, "embedding_dim": 12, **arguments}
    embedder = build_embedder(normalization, section, num_bins=BINS)
    # Batch norms that do something: an identity would hide a missing mask.
    for module in embedder.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                torch.nn.init.normal_(module.weight, 1, 0.1)
                torch.nn.init.normal_(module.bias, 0, 0.3)
    return embedder


@pytest.mark.parametrize("normalization", list(NORMALIZATIONS))
@pytest.mark.parametrize("pooling", list(POOLINGS))
@pytest.mark.parametrize("network", list(NETWORKS))
def test_a_padded_batch_embeds_as_each_utterance_does_alone(network, pooling, normalization):
    embedder = build(network, normalization, pooling=pooling).eval()
    lengths = torch.tensor([37, 64, 51, 43])
    features = torch.randn(len(lengths), 64, BINS) * 3 + 1
    with torch.no_grad():
        alone = torch.cat([embedder(features[i : i + 1, :length]) for i, length in enumerate(lengths)])
        together = embedder(features, lengths)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", list(POOLINGS))
@pytest.mark.parametrize("network", list(NETWORKS))
def test_every_network_embeds_a_batch_with_finite_gradients(network, pooling):
    embedder = build(network, pooling=pooling)
    embedder(torch.randn(3, 50, BINS)).square().sum().backward()
    for name, parameter in embedder.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("pooling", list(POOLINGS))
def test_constant_frames_have_finite_gradients(pooling):
    x = torch.ones(2, 6, 9, requires_grad=True)
    POOLINGS.build("pooling", pooling, channels=6)(x).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_poolings_by_hand():
    x = torch.tensor([[[1.0, 3.0, 99.0], [2.0, 2.0, 99.0]]])
    lengths = torch.tensor([2])
    torch.testing.assert_close(POOLINGS.build("p", "tap", channels=2)(x, lengths), torch.tensor([[2.0, 2.0]]))
    statistics = POOLINGS.build("p", "statistics", channels=2)(x, lengths)
    torch.testing.assert_close(statistics, torch.tensor([[2.0, 2.0, 1.0, 1e-5**0.5]]))


def test_attentive_statistics_equal_their_definition():
    torch.manual_seed(2)
    pooling = POOLINGS.build("p", "asp", channels=3)
    x_CT = torch.randn(3, 8)
    attention = pooling.attention
    scores = [
        torch.tanh(attention.linear.weight @ x_CT[:, t] + attention.linear.bias) @ attention.context[:, 0]
        for t in range(8)
    ]
    weights = [score.exp() / sum(other.exp() for other in scores) for score in scores]
    mean = sum(weight * x_CT[:, t] for t, weight in enumerate(weights))
    second = sum(weight * x_CT[:, t] ** 2 for t, weight in enumerate(weights))
    expected = torch.cat([mean, (second - mean**2).sqrt()])
    torch.testing.assert_close(pooling(x_CT[None])[0], expected, rtol=1e-4, atol=1e-5)


def test_fast_resnet34_has_the_published_size():
    embedder = build_embedder(
        "instance", {"name": "fast_resnet34", "embedding_dim": 512, "pooling": "sap"}, num_bins=40
    )
    assert sum(p.numel() for p in embedder.parameters()) == pytest.approx(1.44e6, rel=0.02)


def test_instance_normalization_equals_torchs():
    x = torch.randn(3, 5, 20) * 4 + 2
    expected = torch.nn.functional.instance_norm(x, eps=1e-5)
    torch.testing.assert_close(NORMALIZATIONS.build("n", "instance", num_bins=5)(x), expected, rtol=1e-4, atol=1e-5)


def test_an_unknown_pooling_is_refused_by_name():
    with pytest.raises(InputError, match=r"network\.pooling\.name: no pooling is named 'asq'; did you mean 'asp'"):
        build(pooling="asq")
