"""The DET curve's corners: as few points as draw the same line."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spk.metrics.error_rates import ErrorRates


def det_curve(rates: ErrorRates) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False-alarm rates [C] and miss rates [C] from 'accept all' to 'reject all', as fractions.

    Points in the middle of a run where only one of the two rates moves are left out: such a run is a straight line
    on any axes.
    """
    only_misses = np.diff(rates.false_alarms) == 0
    only_false_alarms = np.diff(rates.misses) == 0
    inside = (only_misses[:-1] & only_misses[1:]) | (only_false_alarms[:-1] & only_false_alarms[1:])
    corner = np.concatenate([[True], ~inside, [True]])
    return rates.false_alarm_rates[corner], rates.miss_rates[corner]
