"""Operating points of a detector: its errors at every threshold that the scores can tell apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spk.errors import InputError


@dataclass(frozen=True)
class ErrorRates:
    """Errors when trials with score >= threshold are accepted, thresholds ascending.

    Point 0 is the least score (everything is accepted), then comes one point per distinct score, and the last one is
    +inf (everything is rejected). Equal scores move together. Counts are kept as whole numbers: rates that come from
    them are the same bits in whatever order the scores were given.
    Shapes: thresholds [P] float64, misses [P] and false_alarms [P] int64, with P = number of distinct scores + 1.
    """

    thresholds: NDArray[np.float64]
    misses: NDArray[np.int64]
    false_alarms: NDArray[np.int64]
    num_targets: int
    num_nontargets: int

    @property
    def miss_rates(self) -> NDArray[np.float64]:
        """[P] fraction of the targets that are rejected; never falls."""
        return self.misses / self.num_targets

    @property
    def false_alarm_rates(self) -> NDArray[np.float64]:
        """[P] fraction of the non-targets that are accepted; never rises."""
        return self.false_alarms / self.num_nontargets


def error_rates(targets: ArrayLike, nontargets: ArrayLike) -> ErrorRates:
    """The operating points of scores of target trials [T] and non-target trials [N], in any order.

    Raises: InputError if there are no targets, no non-targets, or a score is NaN.
    """
    targets = sorted_scores("target", targets)
    nontargets = sorted_scores("non-target", nontargets)
    merged = np.sort(np.concatenate([targets, nontargets]), kind="stable")  # merges the two sorted runs
    thresholds = merged[np.append(True, merged[1:] != merged[:-1])]
    misses = np.searchsorted(targets, thresholds, side="left")
    rejected_nontargets = np.searchsorted(nontargets, thresholds, side="left")
    return ErrorRates(
        thresholds=np.append(thresholds, np.inf),
        misses=np.append(misses, len(targets)),
        false_alarms=np.append(len(nontargets) - rejected_nontargets, 0),
        num_targets=len(targets),
        num_nontargets=len(nontargets),
    )


def sorted_scores(kind: str, scores: ArrayLike) -> NDArray[np.float64]:
    """[M] ascending, as float64. `kind` is the word for messages."""
    scores = np.sort(np.asarray(scores, dtype=np.float64).ravel())
    if scores.size == 0:
        raise InputError(f"there are no {kind} trials; error rates need at least one target and one non-target")
    if np.isnan(scores[-1]):  # NaN sorts last
        raise InputError(f"{np.count_nonzero(np.isnan(scores))} of {scores.size} {kind} scores are NaN")
    return scores
