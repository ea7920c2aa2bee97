"""The corners of the curve of errors: as few operating points as draw the same line."""

from __future__ import annotations

import numpy as np

from spk.metrics.error_rates import ErrorRates


def corners(rates: ErrorRates) -> ErrorRates:
    """The operating points of `rates` less those in the middle of a run where only one of the two errors moves.

    Such a run is a straight line on any axes, no cost is least inside it, and no vertex of the convex hull lies in it:
    the DET curve, EER, minDCF and minCllr of the corners are those of all points. What depends on the scores
    themselves (Cllr, actDCF) needs all points.
    """
    only_misses = np.diff(rates.false_alarms) == 0
    only_false_alarms = np.diff(rates.misses) == 0
    inside = (only_misses[:-1] & only_misses[1:]) | (only_false_alarms[:-1] & only_false_alarms[1:])
    corner = np.concatenate([[True], ~inside, [True]])
    return ErrorRates(
        thresholds=rates.thresholds[corner],
        misses=rates.misses[corner],
        false_alarms=rates.false_alarms[corner],
        num_targets=rates.num_targets,
        num_nontargets=rates.num_nontargets,
    )
