"""The corners of a DET curve."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spk.metrics.det_curve import det_curve
from spk.metrics.error_rates import error_rates

SCORES = st.lists(st.integers(-6, 6), min_size=1, max_size=25)


def test_runs_of_one_kind_are_one_step():
    false_alarm_rates, miss_rates = det_curve(error_rates([1, 2, 3, 4], [-1, -2]))
    assert false_alarm_rates.tolist() == [1, 0, 0]
    assert miss_rates.tolist() == [0, 0, 1]


@given(SCORES, SCORES)
def test_the_corners_draw_every_operating_point(targets, nontargets):
    rates = error_rates(targets, nontargets)
    corner_alarms, corner_misses = det_curve(rates)
    # Miss minus false alarm rises along the curve, so it can serve as the position on it.
    position = corner_misses - corner_alarms
    where = rates.miss_rates - rates.false_alarm_rates
    np.testing.assert_allclose(np.interp(where, position, corner_misses), rates.miss_rates, atol=1e-12)
    np.testing.assert_allclose(np.interp(where, position, corner_alarms), rates.false_alarm_rates, atol=1e-12)
