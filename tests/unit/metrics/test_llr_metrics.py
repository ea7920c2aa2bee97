"""Cllr, minCllr and actDCF: metrics of scores that are log-likelihood ratios, against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logit
from sklearn.isotonic import IsotonicRegression
from unit.metrics.test_rates import EXAMPLE, SCORES, TIED

from spk.metrics.act_dcf import act_dcf, bayes_threshold
from spk.metrics.cllr import cllr
from spk.metrics.min_cllr import min_cllr
from spk.metrics.min_dcf import min_dcf
from spk.metrics.rocch_eer import rocch_eer


def naive_cllr(targets, nontargets) -> float:
    """Mean log-loss at even odds: log2 of 1 / the probability that the score gives to the truth."""
    right = [1 / (1 + math.exp(-score)) for score in targets], [1 / (1 + math.exp(score)) for score in nontargets]
    return sum(-sum(math.log2(p) for p in kind) / len(kind) for kind in right) / 2


@pytest.mark.parametrize(
    ("targets", "nontargets", "expected"),
    [
        ([0], [0], 1),  # no information: one bit
        ([math.log(3)], [-math.log(3)], math.log2(4 / 3)),
        ([math.log(3)], [0], (math.log2(4 / 3) + 1) / 2),
        ([-math.log(3)], [math.log(7)], (2 + 3) / 2),
        ([math.inf], [-math.inf], 0),
        ([math.inf, 0], [-math.inf], 0.25),
    ],
)
def test_cllr_worked_by_hand(targets, nontargets, expected):
    assert cllr(targets, nontargets) == pytest.approx(expected, abs=1e-15)


@given(st.tuples(TIED, TIED))
def test_cllr_is_that_of_the_definition(scores):
    assert cllr(*scores) == pytest.approx(naive_cllr(*scores), rel=1e-12)


def test_certainty_in_the_wrong_is_infinite_and_huge_scores_are_not():
    assert cllr([5, -math.inf], [0]) == math.inf
    assert cllr([5], [0, math.inf]) == math.inf
    # log2(1 + e^10000) = 10000 / log(2)
    assert cllr([-1e4], [1e4]) == pytest.approx(1e4 / math.log(2))
    assert cllr([1e4], [-1e4]) == 0
    assert min_cllr([5, -math.inf], [0]) <= 1


@pytest.mark.parametrize(
    ("targets", "nontargets", "expected"),
    [
        ([1, 2], [-1, 0], 0),  # apart
        ([0], [0], 1),
        ([-1], [1], 1),  # the wrong way round: all is pooled
        # {0: 1 target, 1 of 2 non-targets}: p = 1/2, q = 1/2, ratio 1; the rest is certain: 1/2 of 1 bit.
        ([0, 1], [-1, 0], 0.5),
        # -1 (target) and 0 (non-target) violate: p = 1/4, q = 1/4; 1/4 of 1 bit.
        (*EXAMPLE, 0.25),
    ],
)
def test_min_cllr_worked_by_hand(targets, nontargets, expected):
    assert min_cllr(targets, nontargets) == pytest.approx(expected, abs=1e-15)


@given(SCORES)
def test_min_cllr_is_the_cllr_of_scores_calibrated_by_isotonic_regression(scores):
    targets, nontargets = scores
    labels = np.repeat([1.0, 0.0], [len(targets), len(nontargets)])
    # Weights that make both kinds count the same: the odds of the fit are likelihood ratios.
    weights = np.repeat([1 / len(targets), 1 / len(nontargets)], [len(targets), len(nontargets)])
    ranks = np.unique([*targets, *nontargets], return_inverse=True)[1]  # the class takes scores 1e-100 apart for equal
    fit = IsotonicRegression().fit(ranks, labels, weights)
    calibrated = logit(np.clip(fit.predict(ranks), 1e-15, 1 - 1e-15))
    expected = cllr(calibrated[: len(targets)], calibrated[len(targets) :])
    assert min_cllr(*scores) == pytest.approx(expected, abs=1e-9)


@given(SCORES)
def test_min_cllr_is_never_above_cllr_nor_above_one_bit(scores):
    assert min_cllr(*scores) <= min(cllr(*scores), 1) + 1e-12


@given(SCORES)
def test_min_cllr_is_0_where_a_threshold_makes_no_error_and_only_there(scores):
    assert (min_cllr(*scores) == 0) == (rocch_eer(*scores) == 0)


@pytest.mark.parametrize(
    ("p_target", "costs", "expected"),
    [
        (0.5, (1, 1), 0),
        (0.01, (1, 1), math.log(99)),
        (0.01, (10, 1), math.log(9.9)),
        (0.05, (1, 2), math.log(38)),
    ],
)
def test_the_bayes_threshold(p_target, costs, expected):
    assert bayes_threshold(p_target, *costs) == pytest.approx(expected, abs=1e-15)


def test_act_dcf_worked_by_hand():
    # p = 0.5: threshold 0 misses -1 (1 of 4) and accepts the non-target 0 (1 of 4): 0.25 + 0.25.
    assert act_dcf(*EXAMPLE, p_target=0.5) == pytest.approx(0.5)
    # p = 0.2: threshold log(4) = 1.39 misses 1 and -1, accepts nothing.
    assert act_dcf(*EXAMPLE, p_target=0.2) == pytest.approx(0.5)
    # p = 0.8: threshold -1.39 misses nothing, accepts 0: 0.25 * 0.2 / 0.2.
    assert act_dcf(*EXAMPLE, p_target=0.8) == pytest.approx(0.25)
    # p = 0.01 and every non-target above log(99): P_fa = 1 costs 0.99 / 0.01.
    assert act_dcf([5], [5, 6], p_target=0.01) == pytest.approx(99)


def test_infinite_scores_are_decided_like_any_other():
    assert act_dcf([math.inf, 1], [-math.inf, 0], 0.5) == pytest.approx(0.5)
    assert act_dcf([-math.inf], [math.inf], 0.01) == pytest.approx(1 + 99)


@given(SCORES, st.sampled_from([0.001, 0.01, 0.5, 0.9]), st.sampled_from([(1, 1), (10, 1), (1, 3)]))
def test_act_dcf_is_that_of_the_definition_and_never_below_min_dcf(scores, p_target, costs):
    targets, nontargets = scores
    c_miss, c_fa = costs
    threshold = math.log(c_fa * (1 - p_target) / (c_miss * p_target))
    miss = sum(score < threshold for score in targets) / len(targets)
    false_alarm = sum(score >= threshold for score in nontargets) / len(nontargets)
    cost = c_miss * p_target * miss + c_fa * (1 - p_target) * false_alarm
    expected = cost / min(c_miss * p_target, c_fa * (1 - p_target))
    assert act_dcf(*scores, p_target, *costs) == pytest.approx(expected, abs=1e-12)
    assert act_dcf(*scores, p_target, *costs) >= min_dcf(*scores, p_target, *costs) - 1e-12
