"""Equal error rate of the ROC's convex hull: what mixing two thresholds at random can reach."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spk.metrics.error_rates import ErrorRates, error_rates


def rocch_eer(targets: ArrayLike, nontargets: ArrayLike) -> float:
    """Convex-hull equal error rate, a fraction, of scores of target trials [T] and non-target trials [N].

    Never above `eer`. Raises: InputError if there are no targets, no non-targets, or a score is NaN.
    """
    return rocch_eer_from(error_rates(targets, nontargets))


def rocch_eer_from(rates: ErrorRates) -> float:
    """Where the lower convex hull of the points (false alarms, misses) meets the line of equal rates.

    Brümmer and de Villiers, The BOSARIS Toolkit, 2011, section 'ROCCH'. Only the hull's edge on that line is needed:
    start with the chord from 'accept all' to 'reject all' and move one end to the point furthest below the chord until
    no point is below it. Whole-number counts make every comparison exact.
    """
    x, y = rates.false_alarms, rates.misses
    left, right = len(x) - 1, 0  # 'reject all' lies left of (or on) the line of equal rates, 'accept all' right of it
    while True:
        below = (x[right] - x[left]) * (y - y[left]) - (y[right] - y[left]) * (x - x[left])
        lowest = int(np.argmin(below))
        if below[lowest] >= 0:
            break
        if y[lowest] * rates.num_nontargets >= x[lowest] * rates.num_targets:
            left = lowest
        else:
            right = lowest
    difference = y * rates.num_nontargets - x * rates.num_targets
    share = difference[left] / (difference[left] - difference[right])
    return float((y[left] + share * (y[right] - y[left])) / rates.num_targets)
