"""The DET curve, as few points as draw it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spk.metrics.corners import corners
from spk.metrics.error_rates import ErrorRates


def det_curve(rates: ErrorRates) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """False-alarm rates [C] and miss rates [C] of the corners, from 'accept all' to 'reject all', as fractions."""
    points = corners(rates)
    return points.false_alarm_rates, points.miss_rates
