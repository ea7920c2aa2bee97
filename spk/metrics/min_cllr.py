"""Minimum Cllr: the Cllr of scores after the best rising function of them; what calibration cannot take away."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression

from spk.metrics.corners import corners
from spk.metrics.error_rates import ErrorRates, error_rates


def min_cllr(targets: ArrayLike, nontargets: ArrayLike) -> float:
    """minCllr in bits of scores of target trials [T] and non-target trials [N]; from 0 to 1, never above `cllr`.

    Raises: InputError if there are no targets, no non-targets, or a score is NaN.
    """
    return min_cllr_from(error_rates(targets, nontargets))


def min_cllr_from(rates: ErrorRates) -> float:
    """Cllr after isotonic regression by pooling adjacent violators, equal scores together.

    Brümmer and du Preez, Application-independent evaluation of speaker detection, 2006, section 5: each block of
    pooled scores gets the log of (its share of the targets) / (its share of the non-targets) as log-likelihood ratio.
    The blocks are the edges of the ROC's convex hull.
    """
    points = corners(rates)
    targets, nontargets = np.diff(points.misses), -np.diff(points.false_alarms)
    trials = targets + nontargets
    blocks = isotonic_regression(targets / trials, weights=trials).blocks[:-1]
    p = np.add.reduceat(targets, blocks) / rates.num_targets
    q = np.add.reduceat(nontargets, blocks) / rates.num_nontargets
    return float(0.5 * (share_bits(p, q) + share_bits(q, p)))


def share_bits(p: np.ndarray, q: np.ndarray) -> float:
    """sum p log2(1 + q / p), where a share p of 0 costs nothing."""
    some = p > 0
    return float((p[some] * np.log2(1 + q[some] / p[some])).sum())
