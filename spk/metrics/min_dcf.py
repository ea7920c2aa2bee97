"""Minimum detection cost: the cost at the best threshold, relative to deciding without scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spk.errors import InputError
from spk.metrics.error_rates import ErrorRates, error_rates


def min_dcf(
    targets: ArrayLike, nontargets: ArrayLike, p_target: float, c_miss: float = 1.0, c_fa: float = 1.0
) -> float:
    """Normalised minimum detection cost of scores of target trials [T] and non-target trials [N]; at most 1.

    Raises: InputError if there are no targets, no non-targets, a score is NaN, or p_target or a cost is out of range.
    """
    return min_dcf_from(error_rates(targets, nontargets), p_target, c_miss, c_fa)


def min_dcf_from(rates: ErrorRates, p_target: float, c_miss: float = 1.0, c_fa: float = 1.0) -> float:
    """The least of `detection_costs`."""
    return float(detection_costs(rates, p_target, c_miss, c_fa).min())


def detection_costs(rates: ErrorRates, p_target: float, c_miss: float = 1.0, c_fa: float = 1.0) -> NDArray[np.float64]:
    """[P] normalised cost at every operating point, 'accept all' and 'reject all' among them.

    NIST, 2008 and later speaker recognition evaluation plans:
        C = c_miss p_target P_miss + c_fa (1 - p_target) P_fa,   divided by min(c_miss p_target, c_fa (1 - p_target))
    """
    miss_weight, false_alarm_weight = detection_weights(p_target, c_miss, c_fa)
    return miss_weight * rates.miss_rates + false_alarm_weight * rates.false_alarm_rates


def detection_weights(p_target: float, c_miss: float, c_fa: float) -> tuple[float, float]:
    """What a miss rate and a false-alarm rate of 1 cost, normalised: the cheaper one is exactly 1.

    Raises: InputError if p_target is not between 0 and 1, or a cost is not above 0.
    """
    if not 0 < p_target < 1:
        raise InputError(f"p_target: {p_target!r} is out of range; allowed: above 0 and below 1")
    if not (0 < c_miss < np.inf and 0 < c_fa < np.inf):
        raise InputError(f"c_miss, c_fa: {c_miss!r}, {c_fa!r} are out of range; allowed: above 0")
    miss_weight, false_alarm_weight = c_miss * p_target, c_fa * (1 - p_target)
    normalizer = min(miss_weight, false_alarm_weight)
    return miss_weight / normalizer, false_alarm_weight / normalizer
