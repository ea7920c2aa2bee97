"""EER, convex-hull EER, minDCF against their definitions; what no order and no rescaling may change in the summary."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.metrics.naive import naive_eer, naive_min_dcf, naive_rocch_eer, operating_points

from spk.errors import InputError
from spk.metrics.act_dcf import act_dcf
from spk.metrics.cllr import cllr
from spk.metrics.eer import eer
from spk.metrics.error_rates import error_rates
from spk.metrics.min_cllr import min_cllr
from spk.metrics.min_dcf import min_dcf
from spk.metrics.rocch_eer import rocch_eer
from spk.metrics.summary import summary

# Few distinct values, so that ties within and across the two kinds are common.
TIED = st.lists(st.integers(-4, 4), min_size=1, max_size=20)
CONTINUOUS = st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=1, max_size=30)
SCORES = st.one_of(st.tuples(TIED, TIED), st.tuples(CONTINUOUS, CONTINUOUS), st.tuples(TIED, CONTINUOUS))

EXAMPLE = [3, 2, 1, -1], [0, -2, -3, -4]


@pytest.mark.parametrize(
    ("targets", "nontargets", "expected", "hull"),
    [
        (*EXAMPLE, 0.25, 0.125),
        ([1, 2], [-2, -1], 0, 0),  # apart
        ([0], [0], 0.5, 0.5),  # one tie: the middle between accepting and rejecting both
        ([0] * 7, [0] * 3, 0.5, 0.5),
        ([-1], [1], 1, 0.5),  # the wrong way round; tossing a coin would be better
        ([1, 1, 0], [0, 0, -1], 2 / 9, 2 / 9),  # from (miss 0, alarm 2/3) to (1/3, 0): equal after 2/3 of the way
    ],
)
def test_equal_error_rates_worked_by_hand(targets, nontargets, expected, hull):
    assert eer(targets, nontargets) == pytest.approx(expected)
    assert rocch_eer(targets, nontargets) == pytest.approx(hull)


def test_ties_move_together_so_that_line_order_cannot_matter():
    """Twenty scores of which many are equal: by sorting lines, anything from 10 to 40 % can be read off them."""
    targets, nontargets = [1] * 6 + [0] * 4, [0] * 5 + [-1] * 5
    # Thresholds 0 and 1: (miss 0, alarm 1/2) and (miss 2/5, alarm 0); 2/5 s = 1/2 - 1/2 s gives s = 5/9.
    assert eer(targets, nontargets) == pytest.approx(2 / 9)


@given(SCORES)
def test_operating_points_are_those_of_every_threshold(scores):
    rates = error_rates(*scores)
    assert list(zip(rates.miss_rates, rates.false_alarm_rates, strict=True)) == [
        (float(miss), float(alarm)) for miss, alarm in operating_points(*scores)
    ]


@given(SCORES)
def test_eer_is_that_of_the_definition(scores):
    assert eer(*scores) == pytest.approx(float(naive_eer(*scores)), abs=1e-12)


@given(SCORES)
def test_hull_eer_is_the_best_mixture_of_two_thresholds(scores):
    assert rocch_eer(*scores) == pytest.approx(float(naive_rocch_eer(*scores)), abs=1e-12)
    assert rocch_eer(*scores) <= eer(*scores) + 1e-12


@given(SCORES, st.sampled_from([0.001, 0.01, 0.5, 0.9]), st.sampled_from([(1, 1), (10, 1), (1, 3)]))
def test_min_dcf_is_that_of_the_definition_and_at_most_1(scores, p_target, costs):
    value = min_dcf(*scores, p_target, *costs)
    assert value == pytest.approx(naive_min_dcf(*scores, p_target, *costs), abs=1e-12)
    assert value <= 1


def test_min_dcf_worked_by_hand():
    # Threshold 1 misses one of four targets and accepts no non-target.
    assert min_dcf(*EXAMPLE, p_target=0.01) == pytest.approx(0.25)
    # Threshold -1 misses nothing and accepts one of four: 0.25 * 0.1 / 0.1 at p = 0.9.
    assert min_dcf(*EXAMPLE, p_target=0.9) == pytest.approx(0.25)
    # p = 0.5, costs 2 and 1: threshold 1 costs 2 * .5 * .25, threshold -1 costs .5 * .25, over .5.
    assert min_dcf(*EXAMPLE, p_target=0.5, c_miss=2) == pytest.approx(0.25)


@pytest.mark.parametrize("p_target", [0.01, 0.99])
def test_accepting_all_and_rejecting_all_are_among_the_decisions(p_target):
    assert min_dcf([-1, -1], [1, 1], p_target) == 1  # every other threshold costs more


@given(SCORES, st.randoms())
def test_the_order_of_the_scores_changes_no_bit(scores: tuple[list, list], randoms: random.Random):
    expected = summary(error_rates(*scores))
    shuffled = [randoms.sample(part, len(part)) for part in scores]
    assert summary(error_rates(*shuffled)) == expected


@given(st.tuples(TIED, TIED), st.sampled_from([np.exp, np.arctan, lambda x: x**3 + x, lambda x: 1e-3 * x - 7]))
def test_a_rising_function_of_the_scores_changes_nothing_that_goes_by_their_order(scores, function):
    transformed = summary(error_rates(*(function(np.asarray(part, dtype=np.float64)) for part in scores)))
    original = summary(error_rates(*scores))
    for name in ("eer", "rocch_eer", "min_dcf", "min_cllr"):
        assert transformed[name] == original[name]


@given(SCORES)
def test_exchanging_the_kinds_and_the_sign_exchanges_the_two_errors(scores):
    targets, nontargets = (np.asarray(part, dtype=np.float64) for part in scores)
    assert eer(-nontargets, -targets) == pytest.approx(eer(targets, nontargets), abs=1e-12)
    assert min_dcf(-nontargets, -targets, 0.9) == pytest.approx(min_dcf(targets, nontargets, 0.1), abs=1e-12)


@pytest.mark.parametrize(
    ("targets", "nontargets", "message"),
    [
        ([], [1], "no target trials"),
        ([1], [], "no non-target trials"),
        ([1, float("nan")], [0], "1 of 2 target scores are NaN"),
        ([1], [float("nan")], "1 of 1 non-target scores are NaN"),
    ],
)
@pytest.mark.parametrize(
    "metric", [eer, rocch_eer, cllr, min_cllr, lambda t, n: min_dcf(t, n, 0.01), lambda t, n: act_dcf(t, n, 0.01)]
)
def test_scores_without_an_answer_are_refused(metric, targets, nontargets, message):
    with pytest.raises(InputError, match=message):
        metric(targets, nontargets)


@pytest.mark.parametrize("arguments", [(0,), (1,), (-0.1,), (float("nan"),), (0.5, 0), (0.5, 1, -1)])
@pytest.mark.parametrize("cost", [min_dcf, act_dcf])
def test_a_prior_or_cost_out_of_range_is_refused(cost, arguments):
    with pytest.raises(InputError, match="out of range"):
        cost([1], [0], *arguments)


def test_a_summary_is_ready_for_json():
    result = summary(error_rates(*EXAMPLE))
    # The Bayes threshold of 0.05 is log(19) = 2.94: the target 3 is accepted. The other two are above every score.
    assert result.pop("act_dcf") == {"0.01": 1, "0.05": 0.75, "0.001": 1}
    assert result.pop("cllr") == cllr(*EXAMPLE)
    assert result.pop("min_cllr") == min_cllr(*EXAMPLE)
    assert result == {
        "num_targets": 4,
        "num_nontargets": 4,
        "eer": 0.25,
        "rocch_eer": 0.125,
        "min_dcf": {"0.01": 0.25, "0.05": 0.25, "0.001": 0.25},
    }
