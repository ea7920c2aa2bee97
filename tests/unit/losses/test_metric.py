"""The losses that compare the utterances of a batch, against their equations."""

from __future__ import annotations

import pytest
import torch
from unit.losses.definitions import assert_equals_its_equation, build, define, draw, parameters_of

PAIRS = [
    {"name": "contrastive", "margin": 1.0},
    {"name": "contrastive", "margin": 2.0},
    {"name": "triplet", "margin": 0.2, "mining": "rank", "hardest": 0.0},  # the nearest negative: nothing is drawn
    {"name": "triplet", "margin": 4.0, "mining": "rank", "hardest": 0.0},
]
GROUPS = [
    {"name": "prototypical"},
    {"name": "angular_prototypical"},
    {"name": "ge2e", "form": "softmax"},
    {"name": "ge2e", "form": "contrast"},
]
SCALED = [section for section in GROUPS if section["name"] != "prototypical"]
BASE = [
    {"name": "softmax"},
    {"name": "nsl", "scale": 7.0},
    {"name": "a_softmax", "margin": 4, "annealing": 2.0},
    {"name": "am_softmax", "margin": 0.3, "scale": 6.0},
    {"name": "aam_softmax", "margin": 0.3, "scale": 6.0},
    {"name": "dam_softmax", "margin": 0.3, "scale": 6.0},
    *PAIRS[1:3],
    *GROUPS,
]


def show(section):
    return "-".join(str(value) for value in section.values())


def labels_of(num_speakers, utterances):
    return torch.arange(num_speakers).repeat_interleave(utterances)


@pytest.mark.parametrize("dim", [2, 3, 6])
@pytest.mark.parametrize("num_speakers", [2, 3, 5])
@pytest.mark.parametrize("section", PAIRS, ids=show)
def test_pairs_and_triplets_are_those_of_the_equation(section, num_speakers, dim):
    loss = build(section, num_speakers, dim)
    assert_equals_its_equation(section, loss, draw(num_speakers * 2, dim), labels_of(num_speakers, 2), 2)


@pytest.mark.parametrize("num_speakers, dim", [(1, 3), (2, 5), (3, 3), (4, 2), (5, 3)])
@pytest.mark.parametrize("utterances", [2, 3, 4, 5])
@pytest.mark.parametrize("section", GROUPS, ids=show)
def test_queries_and_centroids_are_those_of_the_equation(section, utterances, num_speakers, dim):
    loss = build(section, num_speakers, dim, utterances)
    if section in SCALED:  # other values than those they start from
        with torch.no_grad():
            loss.similarity.raw_scale.copy_(torch.tensor(1.7))
            loss.similarity.bias.copy_(torch.tensor(-0.6))
    embeddings = draw(num_speakers * utterances, dim)
    assert_equals_its_equation(section, loss, embeddings, labels_of(num_speakers, utterances), utterances)


@pytest.mark.parametrize("second", BASE, ids=show)
@pytest.mark.parametrize("first", BASE, ids=show)
def test_the_sum_of_any_two_is_the_sum_of_their_equations(first, second):
    num_speakers, dim, utterances = 3, 4, 2
    section = {"name": "sum", "first": first, "second": second, "second_weight": 0.7}
    loss = build(section, num_speakers, dim, utterances)
    parts = parameters_of(loss.first), parameters_of(loss.second)

    embeddings, labels = draw(num_speakers * utterances, dim), labels_of(num_speakers, utterances)
    one, other = (
        define(part, embeddings, labels, utterances, parameters)
        for part, parameters in zip((first, second), parts, strict=True)
    )
    leaf = embeddings.clone().requires_grad_()
    value = loss(leaf, labels)
    assert value.item() == pytest.approx(one + 0.7 * other, rel=1e-10)
    # The slope along one direction, by central differences of the equations
    along, step = draw(*embeddings.shape, seed=5), 1e-5
    ends = [
        define(first, embeddings + sign * step * along, labels, utterances, parts[0])
        + 0.7 * define(second, embeddings + sign * step * along, labels, utterances, parts[1])
        for sign in (1, -1)
    ]
    value.backward()
    assert (leaf.grad * along).sum().item() == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6, abs=1e-8)


def test_softmax_angular_prototypical_is_the_sum_of_the_two():
    loss = build({"name": "softmax_angular_prototypical"}, 3, 4, 3)
    embeddings, labels = draw(9, 4), labels_of(3, 3)
    expected = sum(
        define({"name": name}, embeddings, labels, 3, parameters_of(part))
        for name, part in (("softmax", loss.first), ("angular_prototypical", loss.second))
    )
    assert loss(embeddings, labels).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("offset", [10.0, 1000.0])
def test_distances_of_embeddings_far_from_the_origin_are_right_in_float32(offset):
    embeddings = (0.1 * draw(8, 256) + offset).float()
    loss = build({"name": "prototypical"}, 4, 256).float()
    expected = define({"name": "prototypical"}, embeddings.double(), labels_of(4, 2), 2, {})
    assert loss(embeddings, labels_of(4, 2)).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("section", SCALED, ids=show)
@pytest.mark.parametrize("start", [0.01, 1.0, 10.0, 64.0])
def test_the_learnt_scale_starts_where_the_config_says(section, start):
    similarity = build({**section, "scale": start, "bias": -2.5}).float().similarity
    assert similarity.scale.item() == pytest.approx(start, rel=1e-5)
    assert similarity.bias.item() == -2.5


@pytest.mark.parametrize(
    "optimizer, lr", [("SGD", 0.1), ("SGD", 10.0), ("SGD", 1e4), ("Adam", 0.1), ("Adam", 10.0), ("Adam", 1e3)]
)
@pytest.mark.parametrize("section", SCALED, ids=show)
def test_the_scale_stays_above_zero_and_keeps_a_gradient(section, optimizer, lr):
    """Every utterance is turned against its partner and with another speaker, so that a smaller scale is better."""
    loss = build({**section, "bias": 0.0}, num_speakers=2, dim=2).float()
    embeddings = torch.tensor([[1.0, 0.1], [-1.0, 0.1], [-1.0, 0.2], [1.0, 0.2]])
    raw = loss.similarity.raw_scale
    step = getattr(torch.optim, optimizer)([raw], lr=lr)
    scales = []
    for _ in range(100):
        step.zero_grad()
        loss(embeddings, labels_of(2, 2)).backward()
        assert raw.grad.isfinite()
        assert raw.grad != 0
        scales.append(loss.similarity.scale.item())
        step.step()
    assert min(scales) > 0
    assert scales[-1] < scales[0]


@pytest.mark.parametrize("section", GROUPS, ids=show)
@pytest.mark.parametrize("utterances", [2, 3])
def test_a_query_with_a_negative_cosine_is_drawn_to_its_own_speaker(section, utterances):
    """The query is turned away from its own speaker and from every other one: no cosine of its row is above 0."""
    own, other = torch.tensor([1.0, 0.2, 0.0]), torch.tensor([1.0, -0.2, 0.0])
    query = torch.tensor([-1.0, 0.0, 0.3])
    speakers = [[own] * (utterances - 1) + [query], [other] * utterances]
    embeddings = torch.stack([x for speaker in speakers for x in speaker]).double().requires_grad_()
    loss = build(section, 2, 3, utterances)
    loss(embeddings, labels_of(2, utterances)).backward()
    gradient = embeddings.grad[utterances - 1]
    assert gradient.norm() > 1e-3
    assert (gradient @ own.double()).item() < (gradient @ other.double()).item()
    assert_equals_its_equation(
        section, build(section, 2, 3, utterances), embeddings.detach(), labels_of(2, utterances), utterances
    )


@pytest.mark.parametrize("section", [*PAIRS, *GROUPS], ids=show)
def test_the_order_of_the_speakers_does_not_matter(section):
    loss = build(section, 4, 3)
    speakers = draw(8, 3).reshape(4, 2, 3)
    one = loss(speakers.flatten(0, 1), labels_of(4, 2))
    assert loss(speakers[[2, 0, 3, 1]].flatten(0, 1), labels_of(4, 2)).item() == pytest.approx(one.item(), rel=1e-12)
