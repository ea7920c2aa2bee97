"""Adaptive S-norm, in blocks with a partition, against sorting the cohort's scores of one utterance after another.

Usage: python3 tests/benchmarks/score_normalization.py [--utterances U] [--trials N] [--cohort C] [--dim D] [--top-n N]
Drawn embeddings in memory, cosine scoring; the same results, which is checked. Either way has the statistics of an
utterance once, however many trials it is in; sorting, they are those of the first utterances, and the time for all of
them is as much longer as they are more. By turns, in processor time.
"""

from __future__ import annotations

import statistics
import time

import numpy as np
from measure import Table, begin_peak, by_turns, median_ratio, memory_mb, parser, report
from numpy.typing import NDArray

from spk.backend import BACKENDS
from spk.backend.cohort import Cohort
from spk.backend.length import unit_length
from spk.backend.models import utterances_alone
from spk.backend.scoring import Normalization, Side, normalize

SORTING, OURS = "sorting, one by one", "spk, blocks and partitions"
SLOW_UTTERANCES = 500  # more take as long each


def sorted_one_by_one(table: NDArray, cohort: NDArray, top_n: int) -> list[tuple[float, float]]:
    """Mean and standard deviation of the highest cohort scores of each utterance."""
    best = (np.sort(cohort @ vector)[-top_n:] for vector in table)
    return [(float(highest.mean(dtype=float)), float(highest.std(dtype=float))) for highest in best]


def normalized_one_by_one(
    scores: NDArray, enroll: NDArray, test: NDArray, statistics_of: list[tuple[float, float]]
) -> list[float]:
    normalized = []
    for score, *sides in zip(scores.tolist(), enroll.tolist(), test.tolist(), strict=True):
        (mean, spread), (other_mean, other_spread) = (statistics_of[side] for side in sides)
        normalized.append(((score - mean) / spread + (score - other_mean) / other_spread) / 2)
    return normalized


def main() -> None:
    options = parser(__doc__, utterances=4_708, trials=37_720, cohort=5_994, dim=512, top_n=300).parse_args()
    random = np.random.default_rng(0)
    table, cohort = (
        unit_length(random.standard_normal((count, options.dim), dtype=np.float32))
        for count in (options.utterances, options.cohort)
    )
    enroll, test = random.integers(options.utterances, size=(2, options.trials))
    backend = BACKENDS.build("backend", "cosine")
    scores = backend.score(table, table, enroll, test)
    names = [str(row) for row in range(options.utterances)]
    sides = Side(names, table, enroll), Side(names, table, test)
    members = utterances_alone([f"c{row}" for row in range(options.cohort)])
    normalization = Normalization("as", Cohort("drawn", members, []), options.top_n)

    begin_peak()
    before = memory_mb("VmHWM")
    fast = normalize(scores, backend, *sides, cohort, normalization)
    memory = memory_mb("VmHWM") - before
    few = table[:SLOW_UTTERANCES]
    of_few = sorted_one_by_one(few, cohort, options.top_n)
    both = (enroll < len(few)) & (test < len(few))
    slow = normalized_one_by_one(scores[both], enroll[both], test[both], of_few)
    assert slow and np.abs(fast[both] - slow).max() < 1e-3
    # Which statistics a trial takes changes nothing in the time.
    drawn = [of_few[row % len(few)] for row in range(len(table))]
    ways = {
        SORTING: lambda: sorted_one_by_one(few, cohort, options.top_n),
        "each trial": lambda: normalized_one_by_one(scores, enroll, test, drawn),
        OURS: lambda: normalize(scores, backend, *sides, cohort, normalization),
    }
    seconds = by_turns(ways, options.rounds, time.process_time)
    share = len(table) / len(few)
    sorting, trials, ours = seconds.values()
    slow_seconds = [share * one + other for one, other in zip(sorting, trials, strict=True)]
    title = (
        f"Adaptive S-norm: {options.trials:,} trials of {options.utterances:,} utterances, a cohort of "
        f"{options.cohort:,}, top {options.top_n}, {options.dim} dimensions"
    )
    result = Table(title, ["way", "trials/s of CPU", "ratio", "MiB beside the tables"])
    for way, taken in {SORTING: slow_seconds, OURS: ours}.items():
        ratio = median_ratio(slow_seconds, taken)
        rate = options.trials / statistics.median(taken)
        result.add(way, rate, ratio, memory if way == OURS else None)
    report(options, result)


if __name__ == "__main__":
    main()
