"""Actual detection cost: the cost at the threshold that theory gives, for scores that are log-likelihood ratios."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from spk.metrics.error_rates import ErrorRates, error_rates
from spk.metrics.min_dcf import detection_weights


def act_dcf(
    targets: ArrayLike, nontargets: ArrayLike, p_target: float, c_miss: float = 1.0, c_fa: float = 1.0
) -> float:
    """Normalised actual detection cost of scores of target trials [T] and non-target trials [N], in nats.

    Never below `min_dcf`; above 1, deciding without scores would have been better.
    Raises: InputError if there are no targets, no non-targets, a score is NaN, or p_target or a cost is out of range.
    """
    return act_dcf_from(error_rates(targets, nontargets), p_target, c_miss, c_fa)


def act_dcf_from(rates: ErrorRates, p_target: float, c_miss: float = 1.0, c_fa: float = 1.0) -> float:
    """The cost of accepting when score >= `bayes_threshold`; cost and normalisation as in min_dcf.py."""
    miss_weight, false_alarm_weight = detection_weights(p_target, c_miss, c_fa)
    point = np.searchsorted(rates.thresholds, bayes_threshold(p_target, c_miss, c_fa), side="left")
    misses, false_alarms = rates.misses[point] / rates.num_targets, rates.false_alarms[point] / rates.num_nontargets
    return float(miss_weight * misses + false_alarm_weight * false_alarms)


def bayes_threshold(p_target: float, c_miss: float = 1.0, c_fa: float = 1.0) -> float:
    """log(c_fa (1 - p_target) / (c_miss p_target)): where both decisions cost the same on average.

    Brümmer and du Preez, Application-independent evaluation of speaker detection, 2006, section 3.
    """
    return math.log(c_fa) + math.log1p(-p_target) - math.log(c_miss) - math.log(p_target)
