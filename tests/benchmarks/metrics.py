"""All metrics of 581 thousand and of 50 million scores, and 1,000 draws of speakers, each against the plain way.

Usage: python3 tests/benchmarks/metrics.py [--num-scores N,...] [--num-draws N] [--rounds R]
`spk`: error_rates and summary, every number of the results table. `scikit-learn`: its det_curve alone, false-alarm and
miss rates at all thresholds. Half of the scores are targets of N(4, 1), the others are non-targets of N(0, 1), float64.
Bootstrap: VoxCeleb1-E's 581,480 trials and 1,251 speakers, all metrics in every draw. `repeated`: trials repeated as
often as their speakers are drawn, and the EER alone of these, per draw; measured on a few. Seconds of processor time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import det_curve

from spk.metrics.eer import eer
from spk.metrics.error_rates import error_rates
from spk.metrics.speaker_bootstrap import bootstrap
from spk.metrics.summary import summary

NUM_TRIALS, NUM_SPEAKERS, REPEATED_DRAWS = 581_480, 1_251, 5


def seconds(function: Callable[..., object], *arguments: object) -> float:
    """Of processor time, on all cores: others on the machine do not change it much."""
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


def all_metrics(values: NDArray[np.float64], is_target: NDArray[np.bool_]) -> None:
    summary(error_rates(values[is_target], values[~is_target]))


def repeated(
    values: NDArray[np.float64], is_target: NDArray[np.bool_], enroll: NDArray[np.int64], test: NDArray[np.int64]
) -> None:
    random = np.random.default_rng(0)
    for _ in range(REPEATED_DRAWS):
        count = np.bincount(random.integers(NUM_SPEAKERS, size=NUM_SPEAKERS), minlength=NUM_SPEAKERS)
        weights = np.where(is_target, count[enroll], count[enroll] * count[test])
        kinds = np.repeat(values, weights), np.repeat(is_target, weights)
        eer(kinds[0][kinds[1]], kinds[0][~kinds[1]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-scores", default="581480,50000000")
    parser.add_argument("--num-draws", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    random = np.random.default_rng(0)
    for num in map(int, options.num_scores.split(",")):
        is_target = random.random(num) < 0.5
        values = random.standard_normal(num) + 4 * is_target
        times = [
            (seconds(all_metrics, values, is_target), seconds(det_curve, is_target, values))
            for _ in range(options.rounds)
        ]
        spk, sklearn = (statistics.median(column) for column in zip(*times, strict=True))
        ratio = statistics.median(other / own for own, other in times)
        print(
            f"{num} scores: spk {spk:.2f} s for all metrics, scikit-learn {sklearn:.2f} s for rates: {ratio:.1f} times"
        )

    is_target = np.arange(NUM_TRIALS) % 2 == 0
    enroll = random.integers(NUM_SPEAKERS, size=NUM_TRIALS)
    stranger = (enroll + random.integers(1, NUM_SPEAKERS, size=NUM_TRIALS)) % NUM_SPEAKERS
    test = np.where(is_target, enroll, stranger)
    values = random.standard_normal(NUM_TRIALS) + 4 * is_target
    naive = seconds(repeated, values, is_target, enroll, test) / REPEATED_DRAWS
    start = time.perf_counter()
    own = seconds(bootstrap, values, is_target, enroll, test, options.num_draws) / options.num_draws
    wall, cores = time.perf_counter() - start, len(os.sched_getaffinity(0))
    print(
        f"{options.num_draws} draws of {NUM_TRIALS} trials: {wall:.1f} s on {cores} cores; a draw {1000 * own:.1f} ms,"
    )
    print(f"the EER of repeated trials {1000 * naive:.1f} ms: {naive / own:.1f} times")


if __name__ == "__main__":
    main()
