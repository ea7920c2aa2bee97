"""Confidence intervals that ask how the numbers would change with other speakers, not only with other trials.

Trials of one speaker share his voice, so they are no independent evidence, and resampling trials gives intervals
that are far too short. Here speakers are resampled: a draw takes as many speakers as there are, with replacement, and
speaker a counts w_a times. A target trial of a gets weight w_a, a non-target trial of a and b gets w_a w_b, as if
every copy of one met every copy of the other.
  Bolle, Ratha and Pankanti, Error analysis of pattern recognition systems: the subsets bootstrap, CVIU 93, 2004
  Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1, 2007
  Davezies, D'Haultfœuille and Guyonvarch, Empirical process results for exchangeable arrays, Ann. Statist. 49, 2021

What the non-target trials of one pair of speakers have of their own, their noise, has variance 3 under w_a w_b instead
of 1 (E[w^2] = 2, so Var = 4 - 1), as Owen shows for crossed designs: the intervals err on the long side where it
matters beside the speakers. docs/metrics.md has the measured coverage, and why the excess is not subtracted.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from spk.errors import InputError
from spk.metrics.weighted_trials import METRICS, WeightedTrials, nested

METHOD = (
    "speakers resampled; t interval around value less bias, eer on the logit scale, costs and bits on the log scale"
)
# A draw holds about 20 bytes a trial: the draws made at once are so few that these are at most 4 GiB.
TRIALS_AT_ONCE = 200_000_000
# Deciding without scores, and scores that say nothing, reach these.
LARGEST = {"min_dcf": 1.0, "min_cllr": 1.0}


def bootstrap(
    values: NDArray[np.float64],
    is_target: NDArray[np.bool_],
    enroll_speakers: NDArray[np.int64],
    test_speakers: NDArray[np.int64],
    num_draws: int = 1000,
    seed: int = 1,
    level: float = 0.95,
) -> dict[str, Any]:
    """Intervals of the metrics of scores `values` [N]; the speakers [N] are any whole numbers, one for each speaker.

    Returns: ready for JSON, {"method", "num_draws", "level", "num_speakers", "eer": [low, high], "min_dcf": {p_target:
    [low, high]}, "min_cllr", "cllr", "act_dcf"}; None for an interval that no draw can tell: the metric is 0 or
    infinite, or the same in all draws. The same arguments give the same bits, whatever the number of processors.
    Raises: InputError if there are no targets, no non-targets, a score is NaN, or fewer than 2 draws are asked for.
    """
    draws = draw_metrics([values], is_target, enroll_speakers, test_speakers, num_draws, seed)
    return {
        "method": METHOD,
        "num_draws": num_draws,
        "level": level,
        "num_speakers": draws.num_speakers,
        **nested(draws.intervals(0, level)),
    }


@dataclass(frozen=True)
class Draws:
    """METRICS (M) of systems (S): `values` [S, M] of the trials as they are, `drawn` [num_draws, S, M] of the draws."""

    num_speakers: int
    values: NDArray[np.float64]
    drawn: NDArray[np.float64]

    def intervals(self, system: int, level: float) -> list[list[float] | None]:
        """[low, high] of each of METRICS, or None."""
        values, drawn = self.values[system], self.drawn[:, system]
        with np.errstate(invalid="ignore"):  # infinity less infinity
            biases = drawn.mean(axis=0) - values
        each_metric = zip(METRICS, values, self.standard_errors(drawn), biases, strict=True)
        return [
            interval(
                value,
                error,
                self.num_speakers,
                level,
                scale="logit" if name == "eer" else "log",
                bias=bias,
                largest=LARGEST.get(name, np.inf),
            )
            for (name, _), value, error, bias in each_metric
        ]

    def standard_errors(self, drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        """[...] of a function of the metrics that has the values `drawn` [num_draws, ...] in the draws.

        The variance of n drawn speakers is that of a sample of n divided by n, hence n / (n - 1).
        """
        with np.errstate(invalid="ignore"):  # NaN for what is infinite
            return np.sqrt(drawn.var(axis=0, ddof=1) * self.num_speakers / (self.num_speakers - 1))


def joined(several: Sequence[Draws]) -> Draws:
    """Those of several systems as one, in this order; all are of the same trials, and made with the same seed."""
    values = np.concatenate([one.values for one in several])
    return Draws(several[0].num_speakers, values, np.concatenate([one.drawn for one in several], axis=1))


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
    # The speakers in the order of each system's scores.
    sides = [(enroll[each.target_order], enroll[each.nontarget_order], test[each.nontarget_order]) for each in systems]

    def metrics(count: NDArray[np.int64]) -> list[NDArray[np.float64]] | None:
        """Of each system when a speaker counts [num_speakers] times; None if no targets or no non-targets are left."""
        count = count.astype(np.min_scalar_type(count.max() ** 2))  # the products, too, are exact
        weights = [(count[target], count[first] * count[second]) for target, first, second in sides]
        if not (weights[0][0].any() and weights[0][1].any()):
            return None
        return [system.metrics(*both) for system, both in zip(systems, weights, strict=True)]

    def one_draw(draw: int) -> list[NDArray[np.float64]]:
        for attempt in itertools.count():  # only of few speakers a second one is needed
            random = np.random.default_rng([seed, attempt, draw])
            chosen = random.integers(len(speakers), size=len(speakers))
            found = metrics(np.bincount(chosen, minlength=len(speakers)))
            if found is not None:
                return found
        raise AssertionError("itertools.count never ends")

    with ThreadPoolExecutor(num_threads(len(is_target))) as threads:
        drawn = np.array(list(threads.map(one_draw, range(num_draws))))
    return Draws(len(speakers), np.array(metrics(np.ones(len(speakers), dtype=np.int64))), drawn)


def num_threads(num_trials: int) -> int:
    """How many draws to make at once: one a processor, or OMP_NUM_THREADS where a job has that share of them."""
    processors, share = len(os.sched_getaffinity(0)), os.environ.get("OMP_NUM_THREADS", "")
    if share.isdecimal() and int(share) > 0:
        processors = min(processors, int(share))
    return min(processors, max(1, TRIALS_AT_ONCE // num_trials))


def interval(
    value: float,
    error: float,
    num_speakers: int,
    level: float,
    scale: str,
    bias: float = 0.0,
    largest: float = np.inf,
) -> list[float] | None:
    """[low, high] around value - bias, symmetric on the scale ('log', 'logit' or 'linear'), by the t distribution.

    `error` is the standard error of `value`, and `largest` what the metric cannot exceed.
    None if the metric is not known to vary: an error of 0 or infinite, or a value at the end of the scale.
    """
    slope = {"linear": 1.0, "log": value, "logit": value * (1 - value)}[scale]  # of the value along the scale
    center = value - bias
    if not (np.isfinite(value) and 0 < error < np.inf and slope > 0):
        return None
    if (scale != "linear" and center <= 0) or (scale == "logit" and center >= 1):
        return None
    reach = stats.t.ppf((1 + level) / 2, num_speakers - 1) * error / slope
    if scale == "linear":
        low, high = center - reach, center + reach
    elif scale == "log":
        low, high = center * np.exp(-reach), center * np.exp(reach)
    else:
        odds = center / (1 - center)
        low, high = 1 / (1 + np.exp(reach) / odds), 1 / (1 + np.exp(-reach) / odds)
    return [float(low), float(min(high, largest))]
