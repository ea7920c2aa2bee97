"""Equal error rate by threshold sweep: where the miss rate and the false-alarm rate cross."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from spk.metrics.error_rates import ErrorRates, error_rates


def eer(targets: ArrayLike, nontargets: ArrayLike) -> float:
    """Equal error rate, a fraction, of scores of target trials [T] and non-target trials [N]; ties move together.

    Raises: InputError if there are no targets, no non-targets, or a score is NaN.
    """
    return eer_from(error_rates(targets, nontargets))


def eer_from(rates: ErrorRates) -> float:
    """Linear interpolation between the two neighbouring operating points where miss - false alarm changes its sign.

    miss - false alarm rises strictly from -1 (accept all) to 1 (reject all), so there is exactly one crossing. Targets
    3 2 1 -1 and non-targets 0 -2 -3 -4 have EER 25 % (their convex hull, see rocch_eer.py, 12.5 %).
    """
    difference = rates.misses * rates.num_nontargets - rates.false_alarms * rates.num_targets  # exact: whole numbers
    after = int(np.searchsorted(difference, 0, side="right"))
    before = after - 1
    share = -difference[before] / (difference[after] - difference[before])
    misses = rates.misses[before] + share * (rates.misses[after] - rates.misses[before])
    return float(misses / rates.num_targets)
