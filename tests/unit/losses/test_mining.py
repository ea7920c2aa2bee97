"""Which negatives the triplet loss draws, counted over many draws."""

from __future__ import annotations

import pytest
import torch
from unit.losses.definitions import build, draw, triplet

DRAWS = 3000


def mine(squares, seed=0, draws=DRAWS, **arguments):
    """How often [anchor, speaker] each speaker is an anchor's negative."""
    loss = build({"name": "triplet", **arguments}, num_speakers=len(squares))
    torch.manual_seed(seed)
    counts = torch.zeros_like(squares)
    rows = torch.arange(len(squares))
    for _ in range(draws):
        counts[rows, loss.choose_negatives(squares)] += 1
    assert (counts.diagonal() == 0).all(), "a speaker is its own negative"
    return counts


def assert_shares(counts, expected):
    """Within five standard deviations of the binomial counts that these probabilities give."""
    total = counts.sum()
    expected = torch.as_tensor(expected, dtype=counts.dtype)
    spread = 5 * (total * expected * (1 - expected)).sqrt()
    assert ((counts - total * expected).abs() <= spread).all(), (counts / total, expected)


def apart(num_speakers=11):
    """Squared distances of which the anchor of row j is nearest to speaker j + 1, then to j + 2, and so on around."""
    steps = (torch.arange(num_speakers)[None] - torch.arange(num_speakers)[:, None]) % num_speakers
    return steps * 0.25 + 0.5


def around(row, j):
    """The counts of the other speakers, from the nearest to the furthest of `apart`."""
    return torch.roll(row, -j)[1:]


def test_random_mining_takes_every_other_speaker_alike():
    for row, own in zip(mine(apart(6), mining="random"), range(6), strict=True):
        assert_shares(around(row, own), [0.2] * 5)


@pytest.mark.parametrize(
    "hardest, count", [(0.0, 1), (0.01, 1), (0.12, 1), (0.2, 2), (0.34, 3), (0.36, 4), (0.78, 8), (1.0, 10)]
)
def test_rank_mining_takes_its_share_of_the_nearest_alike(hardest, count):
    """Of ten negatives: the share rounded, at least one."""
    counts = mine(apart(), mining="rank", probability=1.0, hardest=hardest, draws=1000)
    for own, row in enumerate(counts):
        assert_shares(around(row, own), [1 / count] * count + [0.0] * (10 - count))


@pytest.mark.parametrize("probability", [0.0, 0.3, 0.6])
def test_rank_mining_mines_with_its_probability_and_else_takes_any(probability):
    counts = mine(apart(), mining="rank", probability=probability, hardest=0.2)
    mined, anyone = probability / 2, (1 - probability) / 10
    for own, row in enumerate(counts):
        assert_shares(around(row, own), [mined + anyone] * 2 + [anyone] * 8)


def test_each_anchor_is_mined_or_not_by_itself():
    """All the anchors of a batch together would be mined in half of the batches, each by itself hardly ever."""
    loss = build({"name": "triplet", "mining": "rank", "probability": 0.5, "hardest": 0.0}, num_speakers=11)
    torch.manual_seed(0)
    nearest = (torch.arange(11) + 1) % 11
    hits = torch.stack([(loss.choose_negatives(apart()) == nearest).sum() for _ in range(500)])
    assert ((hits > 0) & (hits < 11)).float().mean() > 0.95


def test_semi_hard_mining_takes_all_semi_hard_ones_alike_and_any_where_there_is_none():
    """Quarters and halves, so that the ends of d+^2 < d-^2 < d+^2 + m are met exactly; they do not belong to it."""
    squares = torch.tensor(
        [
            [1.0, 1.25, 1.375, 0.5, 3.0],  # 1.25 and 1.375 are
            [1.0, 1.0, 1.5, 0.5, 1.0],  # 1.0 is no further than the positive, 1.5 is the margin further: none is
            [0.25, 0.5, 1.0, 1.49, 1.5],  # 1.49 alone is
            [3.0, 3.5, 2.0, 1.0, 1.75],  # none is
            [0.5, 0.0, 0.75, 1.25, 1.0],  # 1.25 alone is
        ]
    )
    counts = mine(squares, mining="semi_hard", margin=0.5)
    expected = [
        [0, 0.5, 0.5, 0, 0],
        [0.25, 0, 0.25, 0.25, 0.25],
        [0, 0, 0, 1, 0],
        [0.25, 0.25, 0.25, 0, 0.25],
        [0, 0, 0, 1, 0],
    ]
    for row, shares in zip(counts, expected, strict=True):
        assert_shares(row, shares)


@pytest.mark.parametrize("mining", ["random", "semi_hard", "rank"])
def test_mining_never_takes_the_speaker_itself_however_the_distances_lie(mining):
    for seed in range(20):
        positives_far = draw(7, 7, seed=seed).abs() + 4 * torch.eye(7)
        for squares in (positives_far, torch.zeros(7, 7), 4 * torch.ones(7, 7)):
            mine(squares, seed, draws=5, mining=mining, probability=0.5, hardest=0.5)
    mine(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), draws=20, mining=mining)


@pytest.mark.parametrize("mining", ["random", "semi_hard", "rank"])
def test_the_same_seed_draws_the_same_negatives_and_another_seed_others(mining):
    def negatives(seed):
        loss = build({"name": "triplet", "mining": mining, "probability": 0.5, "hardest": 0.5}, num_speakers=11)
        torch.manual_seed(seed)
        return torch.stack([loss.choose_negatives(apart()) for _ in range(3)]).tolist()

    assert negatives(4) == negatives(4)
    assert negatives(4) != negatives(5)


@pytest.mark.parametrize("mining", ["random", "semi_hard", "rank"])
def test_the_loss_is_the_equations_with_the_negatives_that_were_drawn(mining):
    section = {"name": "triplet", "margin": 1.0, "mining": mining, "probability": 0.5, "hardest": 0.3}
    loss = build(section, num_speakers=5, dim=3)
    embeddings = draw(10, 3)
    speakers = embeddings.reshape(5, 2, 3)
    unit = torch.nn.functional.normalize(speakers, dim=2)
    squares = (unit[:, None, 0] - unit[None, :, 1]).square().sum(dim=2)
    for seed in range(5):
        torch.manual_seed(seed)
        negatives = loss.choose_negatives(squares).tolist()
        torch.manual_seed(seed)
        value = loss(embeddings, torch.arange(5).repeat_interleave(2))
        assert value.item() == pytest.approx(triplet(speakers.tolist(), 1.0, negatives), rel=1e-10)


def test_no_gradient_flows_through_the_choice():
    loss = build({"name": "triplet", "mining": "rank", "margin": 4.0}, num_speakers=4, dim=3)
    torch.manual_seed(0)
    assert torch.autograd.gradcheck(lambda x: loss(x, None), draw(8, 3).requires_grad_())
