"""Confidence intervals that ask how the numbers would change with other speakers, not only with other trials.

Trials of one speaker share his voice, so they are no independent evidence, and resampling trials gives intervals
that are far too short. Here speakers are resampled: a draw takes as many speakers as there are, with replacement, and
speaker a counts w_a times. A target trial of a gets weight w_a, a non-target trial of a and b gets w_a w_b, as if
every copy of one met every copy of the other.
  Bolle, Ratha and Pankanti, Error analysis of pattern recognition systems: the subsets bootstrap, CVIU 93, 2004
  Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1, 2007
  Davezies, D'Haultfœuille and Guyonvarch, Empirical process results for exchangeable arrays, Ann. Statist. 49, 2021

What the non-target trials of one pair of speakers have of their own, their noise, has variance 3 under w_a w_b instead
of 1 (E[w^2] = 2, so Var = 4 - 1), as Owen shows for crossed designs. A second bootstrap, where each pair of speakers
is left out or counts twice by the toss of a coin (variance 1), measures that noise alone; its variance is subtracted
twice. What is left estimates what the dyadic cluster-robust variance does:
  Aronow, Samii and Assenova, Cluster-robust variance estimation for dyadic data, Political Analysis 23, 2015
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from spk.errors import InputError
from spk.metrics.weighted_trials import METRICS, WeightedTrials, nested

METHOD = "standard error by resampling speakers, t interval, eer on the logit scale, costs and bits on the log scale"


# Deciding without scores, and scores that say nothing, reach these.
LARGEST = {"min_dcf": 1.0, "min_cllr": 1.0}


def bootstrap(
    values: NDArray[np.float64],
    is_target: NDArray[np.bool_],
    enroll_speakers: NDArray[np.int64],
    test_speakers: NDArray[np.int64],
    num_draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Any]:
    """Intervals of the metrics of scores `values` [N]; the speakers [N] are any whole numbers, one for each speaker.

    Returns: ready for JSON, {"method", "num_draws", "level", "num_speakers", "eer": [low, high], "min_dcf": {p_target:
    [low, high]}, "min_cllr", "cllr", "act_dcf"}; None for an interval that no draw can tell: the metric is 0 or
    infinite, or the same in all draws. The same arguments give the same bits, whatever the number of processors.
    Raises: InputError if there are no targets, no non-targets, a score is NaN, or fewer than 2 draws are asked for.
    """
    draws = draw_metrics([values], is_target, enroll_speakers, test_speakers, num_draws, seed)
    errors = draws.standard_errors(draws.by_speakers[:, 0], draws.by_pairs[:, 0])
    intervals = [
        interval(
            value, error, draws.num_speakers, level, "logit" if name == "eer" else "log", LARGEST.get(name, np.inf)
        )
        for (name, _), value, error in zip(METRICS, draws.values[0], errors, strict=True)
    ]
    return {
        "method": METHOD,
        "num_draws": num_draws,
        "level": level,
        "num_speakers": draws.num_speakers,
        **nested(intervals),
    }


@dataclass(frozen=True)
class Draws:
    """METRICS (M) of systems (S): `values` [S, M] of the trials as they are, two sets of draws [num_draws, S, M]."""

    num_speakers: int
    values: NDArray[np.float64]
    by_speakers: NDArray[np.float64]
    by_pairs: NDArray[np.float64]

    def standard_errors(self, by_speakers: NDArray[np.float64], by_pairs: NDArray[np.float64]) -> NDArray[np.float64]:
        """[...] of a function of the metrics that has these values [num_draws, ...] in the draws.

        The draws of speakers come from an empirical distribution, hence n / (n - 1). If all were noise of pairs, a
        third of their variance would be left: the least that sampling error of the two variances may leave.
        """
        with np.errstate(invalid="ignore"):  # what is infinite has NaN
            of_speakers = by_speakers.var(axis=0, ddof=1) * self.num_speakers / (self.num_speakers - 1)
            of_pairs = by_pairs.var(axis=0, ddof=1)
        return np.sqrt(np.maximum(of_speakers - 2 * of_pairs, of_speakers / 3))


def draw_metrics(
    systems: Sequence[NDArray[np.float64]],
    is_target: NDArray[np.bool_],
    enroll_speakers: NDArray[np.int64],
    test_speakers: NDArray[np.int64],
    num_draws: int,
    seed: int,
) -> Draws:
    """Score the trials [N] by each of `systems` ([N] each); every draw's weights are the same for all of them."""
    if num_draws < 2:
        raise InputError(f"draws: {num_draws} is out of range; allowed: from 2")
    systems = [WeightedTrials(np.asarray(values, dtype=np.float64), is_target) for values in systems]
    speakers, index = np.unique(np.concatenate([enroll_speakers, test_speakers]), return_inverse=True)
    enroll, test = index[: len(is_target)], index[len(is_target) :]
    pairs = np.minimum(enroll, test) * len(speakers) + np.maximum(enroll, test)
    distinct_pairs, pair = np.unique(pairs[~is_target], return_inverse=True)
    pair_of_trial = np.zeros(len(is_target), dtype=np.int64)
    pair_of_trial[~is_target] = pair
    orders = [
        (
            system,
            enroll[system.target_order],
            enroll[system.nontarget_order],
            test[system.nontarget_order],
            pair_of_trial[system.nontarget_order],
        )
        for system in systems
    ]

    def of_speakers(draw: int) -> list[NDArray[np.float64]]:
        random = np.random.default_rng([seed, 0, draw])

        def weights() -> list[tuple[NDArray, NDArray]]:
            count = np.bincount(random.integers(len(speakers), size=len(speakers)), minlength=len(speakers))
            return [(count[target], count[first] * count[second]) for _, target, first, second, _ in orders]

        return of_usable(weights)

    def of_pairs(draw: int) -> list[NDArray[np.float64]]:
        random = np.random.default_rng([seed, 1, draw])

        def weights() -> list[tuple[NDArray, NDArray]]:
            count = 2 * random.integers(2, size=len(distinct_pairs), dtype=np.int8)
            return [(np.ones(len(target), dtype=np.int8), count[pair]) for _, target, _, _, pair in orders]

        return of_usable(weights)

    def of_usable(weights: Callable[[], list[tuple[NDArray, NDArray]]]) -> list[NDArray[np.float64]]:
        """The metrics of the first weights that leave both targets and non-targets; only few speakers need a second."""
        while True:
            drawn = weights()
            if drawn[0][0].any() and drawn[0][1].any():
                return [system.metrics(*both) for system, both in zip(systems, drawn, strict=True)]

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        by_speakers = np.array(list(threads.map(of_speakers, range(num_draws))))
        by_pairs = np.array(list(threads.map(of_pairs, range(num_draws))))
    ones = [
        (np.ones(len(target), dtype=np.int64), np.ones(len(first), dtype=np.int64)) for _, target, first, *_ in orders
    ]
    values = np.array([system.metrics(*both) for system, both in zip(systems, ones, strict=True)])
    return Draws(len(speakers), values, by_speakers, by_pairs)


def interval(
    value: float, error: float, num_speakers: int, level: float, scale: str, largest: float = np.inf
) -> list[float] | None:
    """[low, high] from a standard error, symmetric on the scale ('log', 'logit' or 'linear'), by the t distribution.

    `largest` is what the metric cannot exceed.
    None if the metric is not known to vary: an error of 0 or infinite, or a value at the end of the scale.
    """
    slope = {"linear": 1.0, "log": value, "logit": value * (1 - value)}[scale]  # of the value along the scale
    if not (np.isfinite(value) and 0 < error < np.inf and slope > 0):
        return None
    reach = stats.t.ppf((1 + level) / 2, num_speakers - 1) * error / slope
    if scale == "linear":
        return [float(value - reach), float(value + reach)]
    if scale == "log":
        return [float(value * np.exp(-reach)), float(min(value * np.exp(reach), largest))]
    odds = value / (1 - value)
    return [float(1 / (1 + np.exp(reach) / odds)), float(1 / (1 + np.exp(-reach) / odds))]
