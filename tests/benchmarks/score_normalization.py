"""Adaptive S-norm, in blocks with a partition, against sorting the cohort's scores of both sides of each trial.

Usage: python3 tests/benchmarks/score_normalization.py [--utterances U] [--trials N] [--cohort C] [--dim D] [--top-n N]
Drawn embeddings in memory, cosine scoring; the same results, which is checked. By turns, in processor time.
"""

from __future__ import annotations

import resource
import statistics
import time

import numpy as np
from measure import Table, by_turns, median_ratio, parser, report
from numpy.typing import NDArray

from spk.backend import BACKENDS
from spk.backend.cohort import Cohort
from spk.backend.length import unit_length
from spk.backend.models import utterances_alone
from spk.backend.scoring import Normalization, Side, normalize

SLOW_TRIALS = 500  # more take as long per trial


def sorting_per_trial(
    scores: NDArray, table: NDArray, enroll: NDArray, test: NDArray, cohort: NDArray, top_n: int
) -> list[float]:
    normalized = []
    for score, sides in zip(scores[:SLOW_TRIALS], zip(enroll, test, strict=True), strict=False):
        best = [np.sort(cohort @ table[side])[-top_n:] for side in sides]
        normalized.append(np.mean([(score - side.mean(dtype=float)) / side.std(dtype=float) for side in best]))
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

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fast = normalize(scores, backend, *sides, cohort, normalization)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    slow = sorting_per_trial(scores, table, enroll, test, cohort, options.top_n)
    assert np.abs(fast[: len(slow)] - slow).max() < 1e-3
    ways = {
        "sorting per trial": lambda: sorting_per_trial(scores, table, enroll, test, cohort, options.top_n),
        "spk, blocks and partitions": lambda: normalize(scores, backend, *sides, cohort, normalization),
    }
    seconds = by_turns(ways, options.rounds, time.process_time)
    counts = dict(zip(ways, (len(slow), options.trials), strict=True))
    per_trial = {way: [value / counts[way] for value in taken] for way, taken in seconds.items()}
    title = (
        f"Adaptive S-norm: {options.trials:,} trials of {options.utterances:,} utterances, a cohort of "
        f"{options.cohort:,}, top {options.top_n}, {options.dim} dimensions"
    )
    result = Table(title, ["way", "trials/s of CPU", "ratio", "MiB beside the tables"])
    for way, taken in per_trial.items():
        ratio = median_ratio(per_trial["sorting per trial"], taken)
        result.add(way, 1 / statistics.median(taken), ratio, memory / 1024 if way.startswith("spk") else None)
    report(options, result)


if __name__ == "__main__":
    main()
