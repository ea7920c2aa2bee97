"""Adaptive S-norm, in blocks with a partition, against sorting the cohort's scores of both sides of each trial.

Usage: python3 tests/benchmarks/score_normalization.py [--utterances U] [--trials N] [--cohort C] [--dim D] [--rounds R]
Drawn embeddings in memory, cosine scoring; the same results. In processor time.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time

import numpy as np
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("utterances", 4_708), ("trials", 37_720), ("cohort", 5_994), ("dim", 512), ("top-n", 300)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
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

    times, memory = [], 0
    for _ in range(options.rounds):
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        fast = normalize(scores, backend, *sides, cohort, normalization)
        middle = time.process_time()
        memory = max(memory, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        slow = sorting_per_trial(scores, table, enroll, test, cohort, options.top_n)
        times.append((len(slow) / (time.process_time() - middle), len(scores) / (middle - start)))
    slow_rate, fast_rate = (statistics.median(column) for column in zip(*times, strict=True))
    print(
        f"{options.trials} trials of {options.utterances} utterances, a cohort of {options.cohort}, top "
        f"{options.top_n}, {options.dim} dimensions; processor time, median of {len(times)} rounds"
    )
    print(f"sorting per trial   {slow_rate:12,.0f} trials a second")
    print(f"blocks, partitions  {fast_rate:12,.0f} trials a second, {fast_rate / slow_rate:.0f} times as many")
    print(f"{options.trials / fast_rate:.2f} s in all, memory {memory / 1024:.0f} MiB, ", end="")
    print(f"largest difference of the scores {np.abs(fast[: len(slow)] - slow).max():.1e}")


if __name__ == "__main__":
    main()
