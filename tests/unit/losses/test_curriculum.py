"""What a curriculum sets is what the loss computes with, at every step of a run."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from unit.losses.definitions import build, define, draw, parameters_of

from spk.config import Ramp, numbers_of
from spk.losses import LOSSES
from spk.train.trainer import Trainer, set_number

LABELS = torch.arange(4).repeat_interleave(2)


@pytest.mark.parametrize(
    "section, name, value",
    [
        ({"name": "am_softmax", "margin": 0.4}, "margin", 0.1),
        ({"name": "aam_softmax", "margin": 0.4}, "margin", 0.1),
        ({"name": "dam_softmax", "margin": 0.4}, "margin", 0.1),
        ({"name": "dam_softmax", "control": 3.0}, "control", 1.5),
        ({"name": "nsl", "scale": 20.0}, "scale", 5.0),
        ({"name": "a_softmax", "annealing": 0.0}, "annealing", 1000.0),
        ({"name": "contrastive", "margin": 1.0}, "margin", 1.9),
        ({"name": "triplet", "margin": 0.2, "mining": "rank", "hardest": 0.0}, "margin", 3.0),
    ],
)
def test_a_number_that_is_set_is_that_of_the_equation(section, name, value):
    loss, embeddings = build(section), draw(8, 7)
    set_number(loss, name, value)
    expected = define({**section, name: value}, embeddings, LABELS, 2, parameters_of(loss))
    assert loss(embeddings, LABELS).item() == pytest.approx(expected, rel=1e-10)
    assert expected != pytest.approx(define(section, embeddings, LABELS, 2, parameters_of(loss)), rel=1e-3)


def test_a_part_of_a_sum_and_its_weight_are_set_by_their_names():
    first, second = {"name": "am_softmax", "margin": 0.4}, {"name": "contrastive", "margin": 1.0}
    loss, embeddings = build({"name": "sum", "first": first, "second": second}), draw(8, 7)
    for name, value in (("first.margin", 0.1), ("second.margin", 1.9), ("second_weight", 0.25)):
        set_number(loss, name, value)
    expected = define({**first, "margin": 0.1}, embeddings, LABELS, 2, parameters_of(loss.first))
    expected += 0.25 * define({**second, "margin": 1.9}, embeddings, LABELS, 2, {})
    assert loss(embeddings, LABELS).item() == pytest.approx(expected, rel=1e-10)


def test_hard_mining_begins_when_its_probability_is_set():
    nearest = (torch.arange(6) + 1) % 6
    squares = torch.ones(6, 6).scatter(1, nearest[:, None], 0.5)
    loss = build({"name": "triplet", "mining": "rank", "hardest": 0.01}, num_speakers=6)
    torch.manual_seed(0)
    for probability, least, most in ((0.0, 0.1, 0.3), (1.0, 1.0, 1.0)):
        set_number(loss, "probability", probability)
        hits = torch.stack([(loss.choose_negatives(squares) == nearest).float().mean() for _ in range(200)]).mean()
        assert least <= hits <= most


@pytest.mark.parametrize("name", list(LOSSES))
def test_every_number_of_a_loss_that_may_change_is_one_that_it_reads(name):
    """No curriculum sets what nothing looks at: the start of a learnt scale, or a number that must stay whole."""
    section = LOSSES.check("loss", {"name": name})
    loss = build(section)
    for number, value in numbers_of(section).items():
        part, _, attribute = number.rpartition(".")
        held = vars(loss.get_submodule(part))
        assert held[attribute] == value


def test_the_trainer_counts_steps_as_shares_of_the_run_and_as_epochs():
    config = SimpleNamespace(
        loss={"name": "sum", "first": {"name": "aam_softmax", "margin": 0.3}, "second_weight": 2.0},
        curriculum={
            "first.margin": Ramp(start=0.1, begin=3, end=3, unit="epochs"),
            "second_weight": Ramp(start=1.0, begin=0.2, end=0.6),
        },
    )
    values = {}
    for step in (0, 20, 29, 30, 40, 60, 100):
        run = SimpleNamespace(config=config, step=step, total_steps=100, steps_per_epoch=10)
        values[step] = tuple(Trainer.curriculum_values(run).values())
    assert values[0] == (0.1, 1.0)
    assert values[20] == (0.1, 1.0)
    assert values[29] == (0.1, pytest.approx(1.225))
    assert values[30] == (0.3, pytest.approx(1.25))
    assert values[40] == (0.3, pytest.approx(1.5))
    assert values[60] == values[100] == (0.3, 2.0)
