"""Poolings against hand-computed values and their equations."""

from __future__ import annotations

import pytest
import torch

from spk.nets.pooling import POOLINGS


@pytest.mark.parametrize("num_frames", [1, 9])
@pytest.mark.parametrize("pooling", list(POOLINGS))
def test_constant_frames_have_finite_gradients(pooling, num_frames):
    x = torch.ones(2, 6, num_frames, requires_grad=True)
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
