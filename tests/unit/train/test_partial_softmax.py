"""Which speakers a batch is compared with, and that a step moves their rows alone."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from spk.data.sampler import Batch
from spk.losses import LOSSES
from spk.losses.classifier import classifiers
from spk.train.clipping import clip_gradients
from spk.train.optimizers import OPTIMIZERS
from spk.train.partial_softmax import draw_speakers, drawn_speakers, optimizer_step

C, D = 9, 4
OPTIMISERS = [
    {"name": "sgd", "lr": 0.1, "momentum": 0.0, "weight_decay": 0.1},
    {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.1},
    {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "nesterov": True},
    {"name": "adam", "lr": 0.1, "weight_decay": 0.1},
]
LOSS_NAMES = ["softmax", "dam_softmax"]


def batch_at(position, epoch=0, seed=1):
    return Batch(np.arange(2), seed, epoch, position)


def built(name):
    torch.manual_seed(2)
    return LOSSES.build("loss", name, embedding_dim=D, num_speakers=C, utterances_per_speaker=1)


def worked_out(loss, position):
    torch.manual_seed(position)
    labels = torch.randperm(C)[:2]
    value = loss(torch.randn(2, D), labels)
    value.backward()
    return value.detach(), labels


def test_speakers_are_a_function_of_the_batch_and_the_same_for_any_shares():
    whole = drawn_speakers(batch_at(5), 0.3, 0, 1000)
    assert torch.equal(whole, drawn_speakers(batch_at(5), 0.3, 0, 1000))
    for size in (2, 3, 7):
        ends = [1000 * rank // size for rank in range(size + 1)]
        parts = [drawn_speakers(batch_at(5), 0.3, *ends[rank : rank + 2]) for rank in range(size)]
        assert torch.equal(torch.cat(parts), whole)
    for other in (batch_at(6), batch_at(5, epoch=1), batch_at(5, seed=2)):
        assert not torch.equal(drawn_speakers(other, 0.3, 0, 1000), whole)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 1.0])
def test_every_speaker_is_drawn_with_the_share_as_its_probability_whoever_else_is(share):
    drawn = torch.stack([drawn_speakers(batch_at(position), share, 0, 500) for position in range(400)]).double()
    bound = 5 * math.sqrt(share * (1 - share))  # five standard deviations of a draw
    assert abs(drawn.mean() - share) <= bound / math.sqrt(drawn.numel())
    assert (drawn.mean(dim=0) - share).abs().max() <= bound / math.sqrt(400)  # of each speaker
    assert (drawn.mean(dim=1) - share).abs().max() <= bound / math.sqrt(500)  # of each batch
    for apart in (1, 2, 64):  # neighbours, in number and in time
        for one, other in ((drawn[:, apart:], drawn[:, :-apart]), (drawn[apart:], drawn[:-apart])):
            together = ((one - share) * (other - share)).mean()
            assert abs(together) <= 5 * share * (1 - share) / math.sqrt(one.numel()) + 1e-12


def test_draws_are_set_in_all_parts_of_a_loss_with_weights_for_speakers():
    section = {"name": "sum", "first": "dam_softmax", "second": {"name": "sum", "first": "ge2e", "second": "softmax"}}
    loss = LOSSES.build("loss", section, embedding_dim=D, num_speakers=C, utterances_per_speaker=2)
    draw_speakers(loss, batch_at(1), 0.5)
    parts = classifiers(loss)
    assert set(parts) == {"first.", "second.second."}
    for part in parts.values():
        assert torch.equal(part.drawn_C, drawn_speakers(batch_at(1), 0.5, 0, C))


@pytest.mark.parametrize("optimizer", OPTIMISERS, ids=lambda section: "-".join(map(str, section.values())))
@pytest.mark.parametrize("name", LOSS_NAMES)
def test_a_share_of_one_trains_as_without_draws(name, optimizer):
    whole, partial = built(name), built(name)
    optimizers = [OPTIMIZERS.build("optimizer", optimizer, parameters=loss.parameters()) for loss in (whole, partial)]
    for position in range(4):
        results = []
        for loss, one in zip((whole, partial), optimizers, strict=True):
            one.zero_grad()
            if loss is partial:
                draw_speakers(loss, batch_at(position), 1.0)
            value, _ = worked_out(loss, position)
            norm = clip_gradients(list(loss.parameters()), loss, 0.1)
            optimizer_step(one, loss)
            results.append((value, norm))
        assert_close(results[1], results[0])
    for expected, parameter in zip(whole.parameters(), partial.parameters(), strict=True):
        assert_close(parameter, expected)
    states = [one.state_dict() for one in optimizers]
    assert_close(states[1]["state"], states[0]["state"])
    assert states[1]["param_groups"] == states[0]["param_groups"]


@pytest.mark.parametrize("optimizer", OPTIMISERS[:3], ids=lambda section: "-".join(map(str, section.values())))
@pytest.mark.parametrize("name", LOSS_NAMES)
def test_sgd_moves_each_row_as_if_it_were_a_parameter_with_a_gradient_in_its_own_batches_alone(name, optimizer):
    loss = built(name)
    ours = OPTIMIZERS.build("optimizer", optimizer, parameters=loss.parameters())
    rows = [[row.detach().clone().requires_grad_() for row in parameter] for parameter in loss.parameters()]
    one_by_one = OPTIMIZERS.build("optimizer", optimizer, parameters=[row for some in rows for row in some])
    left_out = 0
    for position in range(8):
        draw_speakers(loss, batch_at(position), 0.3)
        _, labels = worked_out(loss, position)
        drawn = loss.drawn_rows
        assert set(labels.tolist()) <= set(drawn.numbers_K.tolist())
        left_out += C - len(drawn.numbers_K)
        one_by_one.zero_grad(set_to_none=True)
        for some, leaf in zip(rows, drawn.leaves, strict=True):
            for number, gradient in zip(drawn.numbers_K.tolist(), leaf.grad, strict=True):
                some[number].grad = gradient.clone()
        one_by_one.step()
        optimizer_step(ours, loss)
        for some, parameter in zip(rows, loss.parameters(), strict=True):
            assert_close(parameter.detach(), torch.stack(some).detach())
    assert left_out > 0


def test_adam_moves_drawn_rows_by_its_equations_and_no_others():
    """Kingma and Ba (arXiv:1412.6980), algorithm 1; averages wait with their row, the count of steps does not."""
    loss = built("dam_softmax")
    optimizer = OPTIMIZERS.build(
        "optimizer", {"name": "adam", "lr": 0.1, "weight_decay": 0.1}, parameters=loss.parameters()
    )
    weight = loss.weight_CD.detach().double().numpy().copy()
    first, second = np.zeros_like(weight), np.zeros_like(weight)
    for position in range(8):
        draw_speakers(loss, batch_at(position), 0.3)
        worked_out(loss, position)
        numbers, gradient = loss.drawn_rows.numbers_K.numpy(), loss.drawn_rows.leaves[0].grad.double().numpy()
        optimizer_step(optimizer, loss)
        gradient = gradient + 0.1 * weight[numbers]
        first[numbers] = 0.9 * first[numbers] + 0.1 * gradient
        second[numbers] = 0.999 * second[numbers] + 0.001 * gradient**2
        count = position + 1
        mean, square = first[numbers] / (1 - 0.9**count), second[numbers] / (1 - 0.999**count)
        weight[numbers] -= 0.1 * mean / (np.sqrt(square) + 1e-8)
        np.testing.assert_allclose(loss.weight_CD.detach().numpy(), weight, rtol=1e-4, atol=1e-5)


def test_a_state_with_drawn_rows_is_saved_and_loaded_as_any_other():
    loss = built("softmax")
    section = {"name": "adam", "lr": 0.1}
    optimizer = OPTIMIZERS.build("optimizer", section, parameters=loss.parameters())
    for position in range(3):
        draw_speakers(loss, batch_at(position), 0.3)
        worked_out(loss, position)
        optimizer_step(optimizer, loss)
    again = built("softmax")
    again.load_state_dict(loss.state_dict())
    other = OPTIMIZERS.build("optimizer", section, parameters=again.parameters())
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for one, its in ((loss, optimizer), (again, other)):
        draw_speakers(one, batch_at(3), 0.3)
        worked_out(one, 3)
        optimizer_step(its, one)
    for expected, parameter in zip(loss.parameters(), again.parameters(), strict=True):
        assert torch.equal(parameter, expected)
