"""Recomputing activations in the backward pass changes nothing but what is kept for it."""

from __future__ import annotations

import copy

import pytest
import torch
from rank_processes import on_ranks
from torch.autograd.graph import saved_tensors_hooks
from unit.nets.test_networks import build

from spk.collectives import ALONE, Group
from spk.nets import NETWORKS
from spk.nets.sync_batch_norm import synchronize_batch_norms

FRAMES = 8
OF_EACH_BLOCK = ("fast_resnet34", "thin_resnet34_ghostvlad", "rescnn", "vgg_m_40", "xvector")


def two_steps(group: Group, network: str, recomputes: bool) -> tuple[dict[str, torch.Tensor], int]:
    """(gradients, running statistics and embeddings after two passes, bytes kept for the second backward pass)"""
    embedder = build(network, "global").train()
    synchronize_batch_norms(embedder, group)
    embedder.network.recomputes = recomputes
    generator = torch.Generator().manual_seed(group.rank)
    for _ in range(2):
        kept: dict[int, int] = {}

        def keep(x: torch.Tensor, kept: dict[int, int] = kept) -> torch.Tensor:
            kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        features = torch.randn(3, embedder.min_frames + FRAMES, 40, generator=generator)
        with saved_tensors_hooks(keep, lambda x: x):
            embeddings = embedder(features)
        torch.sin(embeddings).sum().backward()
    gradients = {name: parameter.grad for name, parameter in embedder.named_parameters()}
    parameters = {parameter.untyped_storage().data_ptr() for parameter in embedder.parameters()}
    found = {**embedder.state_dict(), **{f"gradient of {name}": value for name, value in gradients.items()}}
    size = sum(bytes_ for where, bytes_ in kept.items() if where not in parameters)
    return copy.deepcopy({**found, "embeddings": embeddings.detach()}), size


def both_ways(group: Group, network: str) -> list[tuple[dict[str, torch.Tensor], int]]:
    return [two_steps(group, network, recomputes) for recomputes in (False, True)]


def some_networks(group: Group) -> list[list[tuple[dict[str, torch.Tensor], int]]]:
    return [both_ways(group, network) for network in OF_EACH_BLOCK]


def assert_same_bits_with_less_kept(plain, recomputing):
    assert plain[0].keys() == recomputing[0].keys()
    for name, value in plain[0].items():
        assert torch.equal(value, recomputing[0][name]), name
    assert recomputing[1] < 0.6 * plain[1]


@pytest.mark.parametrize("network", list(NETWORKS))
def test_gradients_and_running_statistics_are_the_same_bits(network):
    assert_same_bits_with_less_kept(*both_ways(ALONE, network))


def test_with_batch_norm_over_processes_too(tmp_path):
    for rank in on_ranks(some_networks, 2, tmp_path):
        for plain, recomputing in rank:
            assert_same_bits_with_less_kept(plain, recomputing)
