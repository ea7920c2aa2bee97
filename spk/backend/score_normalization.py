"""Score normalisation: scores relative to what a side of the trial scores against a cohort of other speakers.

With mu and sigma the mean and standard deviation of a side's scores against the cohort, a score s becomes
    z     (s - mu_enroll) / sigma_enroll
    t     (s - mu_test) / sigma_test
    s     the mean of z and t
    as    the mean of z and t where each side has mu and sigma of its own top N scores, those against the members of the
          cohort that are most like it: AS-norm1 of Matejka et al., Analysis of score normalization in multilingual
          speaker recognition, Interspeech 2017
z and t: Auckenthaler, Carey and Lloyd-Thomas, Score normalization for text-independent speaker verification systems,
Digital Signal Processing 10, 2000. sigma divides by the number of scores, not by one less.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spk.backend.registry import PAIRS_PER_BLOCK, Backend, blocks_of_rows
from spk.errors import InputError
from spk.schema import nearest

SIDES = {"z": ("enroll",), "t": ("test",), "s": ("enroll", "test"), "as": ("enroll", "test")}
NORMS = ("none", *SIDES)
# A part of the cohort: so many that they are worth a pass over the table, so few that a block has many of its rows.
MEMBERS_PER_PART = 1 << 14
# A deviation of this many units in the last place of the mean is what rounding leaves of equal scores.
ROUNDING = 16


@dataclass(frozen=True)
class CohortStatistics:
    """`mean` and `deviation` [S] float64 of the scores of each of S rows against the cohort."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    def normalize(self, scores: NDArray[np.floating], index: NDArray[np.int64]) -> NDArray[np.float64]:
        """Scores [N] of the rows `index` [N], shifted and scaled by these rows' statistics."""
        return (scores - self.mean[index]) / self.deviation[index]


def check_norm(norm: str) -> None:
    """Raise InputError for an unknown norm."""
    if norm not in NORMS:
        raise InputError(f"--norm: no score normalisation is named {norm!r}; {nearest(norm, NORMS)}")


def check_cohort_size(norm: str, top_n: int, cohort_size: int) -> None:
    """Raise InputError for a cohort that is too small for this norm."""
    if norm == "as" and top_n < 2:
        raise InputError(f"--top-n {top_n}: must be at least 2, as one score has no standard deviation")
    if norm == "as" and cohort_size < top_n:
        raise InputError(f"--top-n {top_n}: the cohort has only {cohort_size}; give a larger cohort or a smaller N")
    if cohort_size < 2:
        raise InputError(f"--norm {norm}: the cohort has {cohort_size}, and a standard deviation needs at least 2")


def cohort_statistics(
    backend: Backend,
    table: NDArray[np.floating],
    cohort: NDArray[np.floating],
    num_utterances: NDArray[np.int64] | None = None,
    top_n: int | None = None,
    progress: Callable[[int], object] = lambda count: None,
) -> CohortStatistics:
    """Statistics of each row of `table` [S, ...] against the `cohort` [C, ...], over its `top_n` highest scores or all.

    Representations are those of `backend`; `num_utterances` [S] as there. A member of the cohort counts as one
    utterance, also where it is a mean of several. Then a test utterance scores against the cohort what the cohort's
    members would score against it. The cohort is taken in parts, so that a block of scores has many rows whatever its
    size; beside a block, `top_n` scores of each row are in memory. `progress` is told of rows done.
    """
    running = Moments(len(table)) if top_n is None else Highest(len(table), min(top_n, len(cohort)))
    num_pairs = num_told = 0
    for part in blocks_of_rows(len(cohort), 1, MEMBERS_PER_PART):
        first = 0
        for scores in backend.all_pairs(table, cohort[part], num_utterances):
            running.add(slice(first, first + len(scores)), scores, part.start)
            first += len(scores)
            num_pairs += scores.size
            progress(num_pairs // len(cohort) - num_told)
            num_told = num_pairs // len(cohort)
    return running.statistics()


class Moments:
    """Mean and deviation of each row's scores, which come in parts."""

    def __init__(self, num_rows: int) -> None:
        self.mean, self.variance, self.eps = np.zeros(num_rows), np.zeros(num_rows), 0.0

    def add(self, rows: slice, scores: NDArray[np.floating], num_before: int = 0) -> None:
        """More scores [n, m] of these rows, which had `num_before` each.

        Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979.
        """
        self.eps = np.finfo(scores.dtype).eps
        mean = scores.mean(axis=1, dtype=np.float64)
        variance = np.square(scores - mean[:, None]).mean(axis=1)
        share, moved = scores.shape[1] / (num_before + scores.shape[1]), mean - self.mean[rows]
        self.mean[rows] += share * moved
        self.variance[rows] += share * (variance - self.variance[rows] + (1 - share) * np.square(moved))

    def statistics(self) -> CohortStatistics:
        deviation = np.sqrt(self.variance)
        deviation[deviation <= ROUNDING * self.eps * np.abs(self.mean)] = 0
        return CohortStatistics(self.mean, deviation)


class Highest:
    """Mean and deviation of the `top_n` highest of each row's scores, which come in parts."""

    def __init__(self, num_rows: int, top_n: int) -> None:
        self.num_rows, self.top_n = num_rows, top_n
        self.best: NDArray[np.floating] | None = None  # [num_rows, top_n], of which so many columns as came are filled

    def add(self, rows: slice, scores: NDArray[np.floating], num_before: int) -> None:
        if self.best is None:
            self.best = np.empty((self.num_rows, self.top_n), scores.dtype)
        known = self.best[rows, : min(num_before, self.top_n)]
        best = highest(np.concatenate([known, highest(scores, self.top_n)], axis=1), self.top_n)
        self.best[rows, : best.shape[1]] = best

    def statistics(self) -> CohortStatistics:
        moments = Moments(self.num_rows)
        for rows in blocks_of_rows(*self.best.shape, PAIRS_PER_BLOCK):
            moments.add(rows, self.best[rows])
        return moments.statistics()


def highest(scores: NDArray[np.floating], count: int) -> NDArray[np.floating]:
    """The `count` highest of each row, in any order, or all if there are no more; reorders `scores`."""
    if count >= scores.shape[1]:
        return scores
    scores.partition(scores.shape[1] - count, axis=1)
    return scores[:, -count:]
