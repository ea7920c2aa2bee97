"""NetVLAD and GhostVLAD against their equations, frame by frame and cluster by cluster."""

from __future__ import annotations

import math

import pytest
import torch

from spk.nets.pooling import POOLINGS


def vlad_by_definition(pooling, x_CT, num_clusters):
    """One utterance with loops: assignments, residuals, intra-normalisation, L2 normalisation."""
    weight, bias = pooling.assignment.weight, pooling.assignment.bias
    rows = [torch.zeros(len(x_CT), dtype=x_CT.dtype) for _ in range(num_clusters)]
    for x_C in x_CT.T:
        scores = [math.exp(w @ x_C + b) for w, b in zip(weight, bias, strict=True)]
        for k in range(num_clusters):
            rows[k] = rows[k] + scores[k] / sum(scores) * (x_C - pooling.centre_KC[k])
    flat = torch.cat([row / math.sqrt((row**2).sum()) for row in rows])
    return flat / math.sqrt((flat**2).sum())


@pytest.mark.parametrize(
    "section",
    [
        {"name": "netvlad", "num_clusters": 3},
        {"name": "netvlad", "num_clusters": 1},
        {"name": "ghostvlad", "num_clusters": 3, "num_ghosts": 2},
    ],
    ids=str,
)
def test_vlad_equals_its_definition(section):
    torch.manual_seed(1)
    pooling = POOLINGS.build("p", section, channels=5).double()
    assert pooling.out_dim == section["num_clusters"] * 5
    x = 2 * torch.randn(2, 5, 9, dtype=torch.float64)
    lengths = torch.tensor([9, 6])
    with torch.no_grad():
        expected = [
            vlad_by_definition(pooling, x[i, :, :length], section["num_clusters"]) for i, length in enumerate(lengths)
        ]
        torch.testing.assert_close(pooling(x, lengths), torch.stack(expected), rtol=1e-12, atol=1e-12)


def test_ghost_clusters_take_frames_away_from_the_others():
    """A frame that all but the ghosts disown leaves the pooled vector as it was."""
    pooling = POOLINGS.build("p", {"name": "ghostvlad", "num_clusters": 2, "num_ghosts": 1}, channels=2).double()
    with torch.no_grad():
        pooling.assignment.weight.copy_(torch.tensor([[1.0, 0.0], [0.5, 0.0], [0.0, 100.0]]))
        pooling.assignment.bias.zero_()
    x = torch.tensor([[[1.0, 3.0, 2.0], [0.0, 0.0, 5.0]]], dtype=torch.float64)
    x[0, 1, :2] = -5
    torch.testing.assert_close(pooling(x), pooling(x[:, :, :2]), rtol=1e-12, atol=1e-12)


def test_a_frame_on_the_only_centre_gives_zeros_and_finite_gradients():
    pooling = POOLINGS.build("p", {"name": "netvlad", "num_clusters": 1}, channels=4)
    x = pooling.centre_KC.detach()[:, :, None].clone().requires_grad_()
    y = pooling(x)
    assert (y == 0).all()
    y.sum().backward()
    assert x.grad.isfinite().all()
