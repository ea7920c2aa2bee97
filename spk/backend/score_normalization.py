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

from spk.backend.registry import Backend
from spk.errors import InputError
from spk.schema import nearest

SIDES = {"z": ("enroll",), "t": ("test",), "s": ("enroll", "test"), "as": ("enroll", "test")}
NORMS = ("none", *SIDES)
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
    members would score against it. One block of scores is in memory at a time; `progress` is told of rows done.
    """
    mean, deviation = np.empty(len(table)), np.empty(len(table))
    first = 0
    for scores in backend.all_pairs(table, cohort, num_utterances):
        rows = slice(first, first + len(scores))
        if top_n is not None and top_n < scores.shape[1]:
            scores.partition(scores.shape[1] - top_n, axis=1)
            scores = scores[:, -top_n:]
        mean[rows] = scores.mean(axis=1, dtype=np.float64)
        deviation[rows] = np.sqrt(np.square(scores - mean[rows, None]).mean(axis=1))
        deviation[rows][deviation[rows] <= ROUNDING * np.finfo(scores.dtype).eps * np.abs(mean[rows])] = 0
        first = rows.stop
        progress(len(scores))
    return CohortStatistics(mean, deviation)
