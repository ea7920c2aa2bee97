"""Parameters and multiply-adds against counts by hand and published sizes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spk.nets import NETWORKS
from spk.nets.complexity import folded, measure_complexity
from spk.nets.pooling import POOLINGS
from spk.nets.vlad import GhostVLAD


def by_name(complexity):
    return {layer.name: layer for layer in complexity.layers}


def test_a_small_network_counted_by_hand():
    network = nn.Sequential(
        nn.Conv2d(1, 4, (3, 5), stride=2, bias=False),  # 11 x 21 -> 4 x 5 x 9, 15 taps
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(180, 7),
    )
    complexity = measure_complexity(network, torch.zeros(1, 1, 11, 21))
    conv, norm, relu, flat, linear = complexity.layers[1:]
    assert (conv.parameters, conv.multiply_adds, conv.output) == (60, 4 * 5 * 9 * 15, (4, 5, 9))
    assert (norm.parameters, norm.multiply_adds, norm.reshapes) == (8, 0, False)
    assert (relu.parameters, relu.multiply_adds, relu.reshapes) == (0, 0, False)
    assert (flat.output, flat.reshapes) == ((180,), True)
    assert (linear.parameters, linear.multiply_adds) == (180 * 7 + 7, 180 * 7)
    assert complexity.parameters == 60 + 8 + 1267
    assert complexity.multiply_adds == 2700 + 1260


def test_groups_and_dilation_of_a_convolution_along_time():
    conv = nn.Conv1d(6, 9, 3, dilation=2, groups=3)  # 20 frames -> 16; each output sees 2 of the 6 channels
    complexity = measure_complexity(conv, torch.zeros(1, 6, 20))
    assert complexity.parameters == 9 * 2 * 3 + 9
    assert complexity.multiply_adds == 9 * 16 * 2 * 3


def test_a_layer_that_is_called_twice_counts_its_parameters_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(5, 5, bias=False)

        def forward(self, x):
            return self.linear(self.linear(x)) @ self.linear.weight

    complexity = measure_complexity(Twice(), torch.zeros(1, 5))
    assert by_name(complexity)["linear"].multiply_adds == 50
    assert by_name(complexity)[""].multiply_adds == 25  # the product that no layer of its own makes
    assert (complexity.parameters, complexity.multiply_adds) == (25, 75)


def test_the_matrix_products_of_poolings_count():
    """C = 6 channels, T = 10 frames; D = 4 dimensions of attention, K = 3 clusters and G = 2 ghosts."""
    attentive = POOLINGS.build("pooling", {"name": "sap", "attention_dim": 4}, channels=6)
    complexity = measure_complexity(attentive, torch.zeros(1, 6, 10))
    assert complexity.multiply_adds == 10 * 6 * 4 + 10 * 4  # W x_t, and h_t . a
    assert complexity.parameters == (6 * 4 + 4) + 4
    complexity = measure_complexity(GhostVLAD(6, num_clusters=3, num_ghosts=2), torch.zeros(1, 6, 10))
    assert complexity.multiply_adds == 10 * 6 * 5 + 3 * 10 * 6  # the assignment, and sum_t a_tk x_t
    assert complexity.parameters == (6 * 5 + 5) + 3 * 6


def test_fast_resnet34_has_the_published_size():
    network = NETWORKS.build("network", {"name": "fast_resnet34", "embedding_dim": 512}, num_bins=40)
    complexity = measure_complexity(network, torch.zeros(1, 202, 40))
    assert complexity.parameters == pytest.approx(1.44e6, rel=0.005)
    assert complexity.multiply_adds == pytest.approx(0.448e9, rel=0.002)


@pytest.mark.parametrize("network", list(NETWORKS))
def test_every_network_is_counted_whole(network):
    """The sums over its layers, whole or folded, are those of the network, whatever it was doing before."""
    network = NETWORKS.build("network", {"name": network, "channels": 0.125, "embedding_dim": 12}, num_bins=40).train()
    features = torch.zeros(1, network.min_frames + 20, 40)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    complexity = measure_complexity(network, features)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert complexity.parameters == sum(parameter.numel() for parameter in network.parameters())
    for depth in (0, 1, 2):
        short = folded(complexity, depth)
        assert (short.parameters, short.multiply_adds) == (complexity.parameters, complexity.multiply_adds)
    assert all(name.count(".") < 2 for name in by_name(short))
    # A convolution or linear layer multiplies each of its weights once an output frame.
    for layer, module in zip(complexity.layers, network.modules(), strict=True):
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear)):
            assert layer.multiply_adds >= module.weight.numel()
            assert layer.multiply_adds % module.weight.numel() == 0
