"""Cllr: what scores that are log-likelihood ratios cost on average over all priors and costs, in bits."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spk.metrics.error_rates import ErrorRates, error_rates


def cllr(targets: ArrayLike, nontargets: ArrayLike) -> float:
    """Cllr in bits of scores of target trials [T] and non-target trials [N], natural-log likelihood ratios.

    0 for perfect scores, 1 for scores that are all 0 (they say nothing); above 1 they mislead. A single target of
    score -inf, or non-target of +inf, is certainty in the wrong, and makes it infinite.
    Raises: InputError if there are no targets, no non-targets, or a score is NaN.
    """
    return cllr_from(error_rates(targets, nontargets))


def cllr_from(rates: ErrorRates) -> float:
    """The mean of `bits` of the targets' scores and of minus the non-targets' scores.

    Brümmer and du Preez, Application-independent evaluation of speaker detection, Computer Speech and Language 20,
    2006, equation (14):  Cllr = 1/2 (mean over targets of log2(1 + e^-s) + mean over non-targets of log2(1 + e^s))
    """
    num_targets, num_nontargets = np.diff(rates.misses), -np.diff(rates.false_alarms)
    return 0.5 * (
        mean_bits(rates.thresholds[:-1], num_targets, rates.num_targets)
        + mean_bits(-rates.thresholds[:-1], num_nontargets, rates.num_nontargets)
    )


def mean_bits(scores: NDArray[np.float64], counts: NDArray[np.int64], total: int) -> float:
    """The mean of `bits` of scores [P] that come `counts` [P] times, `total` in all."""
    some = np.flatnonzero(counts)  # a score that never comes may be infinite, and 0 times infinity is NaN
    return float((bits(scores[some]) * counts[some]).sum() / total)


def bits(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """log2(1 + e^-s) of every score, without overflow."""
    return np.logaddexp(0, -scores) / math.log(2)
