"""Statistics of utterances against sums over frames, one by one."""

from __future__ import annotations

import pytest
import torch

from spk.ivector import utterance_statistics as module
from spk.ivector.utterance_statistics import add_second_order, utterance_statistics, utterances_at_a_time

NUM_GAUSS = 5


def draw(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    num_frames = torch.tensor([4, 1, 0, 7])
    frames = torch.randn(12, 3, generator=generator)
    index = torch.stack([torch.randperm(NUM_GAUSS, generator=generator)[:3] for _ in range(12)])
    value = torch.rand(12, 3, generator=generator)
    return frames, index, torch.where(value < 0.3, 0, value), num_frames


@pytest.mark.parametrize("entries_at_a_time", [1 << 16, 5])
def test_statistics_are_sums_over_the_frames_of_each_utterance(entries_at_a_time, monkeypatch):
    monkeypatch.setattr(module, "ENTRIES_AT_A_TIME", entries_at_a_time)
    frames, index, value, num_frames = draw()
    occupancies = torch.zeros(4, NUM_GAUSS, dtype=torch.float64)
    first_order = torch.zeros(4, NUM_GAUSS, 3, dtype=torch.float64)
    second_order = torch.ones(NUM_GAUSS, 3, 3, dtype=torch.float64)
    utterances = [0] * 4 + [1] + [3] * 7
    for utterance, frame, gaussians, posteriors in zip(utterances, frames.double(), index, value, strict=True):
        for gaussian, posterior in zip(gaussians.tolist(), posteriors.tolist(), strict=True):
            occupancies[utterance, gaussian] += posterior
            first_order[utterance, gaussian] += posterior * frame
            second_order[gaussian] += posterior * torch.outer(frame, frame)
    statistics = utterance_statistics(frames, index, value, num_frames, NUM_GAUSS)
    torch.testing.assert_close(statistics.occupancies, occupancies)
    torch.testing.assert_close(statistics.first_order, first_order)
    total = torch.ones_like(second_order)
    add_second_order(total, frames, index, value)
    torch.testing.assert_close(total, second_order)


@pytest.mark.parametrize(("shape", "expected"), [((10, 10, 5), 10), ((2, 5, 20), 2), ((100, 100, 10), 1)])
def test_a_block_has_as_many_utterances_as_its_memory_holds_but_one_at_least(shape, expected):
    assert utterances_at_a_time(*shape, most_values=1000) == expected
