"""The margin as a function of cos(theta)."""

from __future__ import annotations

import numpy as np
import pytest

from spk.losses import LOSSES
from spk.losses.margin_softmax import MarginSoftmax
from spk.report.margins import COSINES, margin_figure, margin_of, with_constant_margin


def test_dynamic_margins_are_those_of_the_paper():
    margin = margin_of({"name": "dam_softmax", "margin": 0.2, "control": 2.0})
    # m e^(1 - cos) / lambda: e^2 / 10, e / 10 and 1 / 10
    assert np.interp([-1, 0, 1], COSINES, margin) == pytest.approx([0.7389056, 0.2718282, 0.1])


def test_other_margins_follow_their_equations():
    assert margin_of({"name": "am_softmax", "margin": 0.3}) == pytest.approx(np.full(len(COSINES), 0.3))
    angular = margin_of({"name": "aam_softmax", "margin": 0.2})
    at = COSINES > -0.9  # further on theta + m would be beyond pi
    expected = COSINES - np.cos(np.arccos(COSINES) + 0.2)
    assert angular[at] == pytest.approx(expected[at], abs=1e-4)
    assert margin_of({"name": "softmax"}) is None and not margin_of({"name": "nsl"}).any()


def test_a_dynamic_margin_has_a_constant_one_beside_it():
    dynamic = {"dam": {"name": "dam_softmax", "margin": 0.4}}
    assert list(with_constant_margin(dynamic).values())[1:] == [{"name": "am_softmax", "margin": 0.4}]
    both = dynamic | {"am": {"name": "am_softmax", "margin": 0.4}}
    assert with_constant_margin(both) == both


def test_nothing_is_drawn_where_no_loss_has_a_margin():
    assert margin_figure({"one": {"name": "softmax"}, "other": {"name": "nsl"}}, {}, {}) is None


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"sum"}))
def test_every_objective_has_a_margin_or_none(name):
    has_cosines = issubclass(LOSSES[name], MarginSoftmax)
    assert (margin_of({"name": name}) is not None) == has_cosines
