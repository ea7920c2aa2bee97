"""Initial weights are those that torch draws for all speakers at once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from spk.losses.initial_rows import draw_unused, xavier_normal_rows


@pytest.mark.parametrize("dim", [1, 2, 7, 33, 192])
@pytest.mark.parametrize("num_speakers", [1, 3, 1023, 1025, 2047, 2049, 5000])
def test_rows_of_a_part_of_the_speakers_are_those_of_all_drawn_at_once(num_speakers, dim):
    torch.manual_seed(4)
    whole = nn.init.xavier_normal_(torch.empty(num_speakers, dim))
    after = torch.get_rng_state()
    for first, last in ((0, num_speakers), (0, num_speakers // 3), (num_speakers // 3, num_speakers)):
        torch.manual_seed(4)
        assert torch.equal(xavier_normal_rows(num_speakers, dim, first, last), whole[first:last])
        assert torch.equal(torch.get_rng_state(), after)


@pytest.mark.parametrize("num_speakers, dim", [(3, 5), (700, 1600)])
def test_what_a_linear_layer_draws_is_passed_over(num_speakers, dim):
    torch.manual_seed(4)
    nn.Linear(dim, num_speakers)
    after = torch.get_rng_state()
    torch.manual_seed(4)
    draw_unused(num_speakers * (dim + 1))
    assert torch.equal(torch.get_rng_state(), after)
