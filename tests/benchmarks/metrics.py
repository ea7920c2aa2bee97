"""All metrics of 581 thousand and of millions of scores, from files and by draws of speakers, against the plain ways.

Usage: python3 tests/benchmarks/metrics.py [--num-scores N,...] [--num-draws N] [--rounds R] [--json FILE]
Ours: error_rates and summary, every number of the results table. Against scikit-learn's det_curve alone, false-alarm
and miss rates at all thresholds. Half of the scores are targets of N(4, 1), the others non-targets of N(0, 1), float64.
From files: VoxCeleb1-E's 581,480 trials, of 145,160 utterances: the list and the scores read, put together and
measured, with scores as text and in the binary form; against reading both line by line into dicts and scikit-learn.
Draws: of VoxCeleb1-E's 1,251 speakers, all metrics in each, one core; against the EER alone of trials repeated as often
as their speakers are drawn. By turns, in processor time.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from measure import Table, by_turns, median_ratio, parser, report
from numpy.typing import NDArray
from sklearn.metrics import det_curve

from spk.data.scores import read_scores, scores_of_trials, write_scores
from spk.data.trials import Trials, read_trials, write_trials
from spk.metrics.eer import eer
from spk.metrics.error_rates import error_rates
from spk.metrics.speaker_bootstrap import bootstrap
from spk.metrics.summary import summary

NUM_TRIALS, NUM_UTTERANCES, NUM_SPEAKERS, REPEATED_DRAWS = 581_480, 145_160, 1_251, 5


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


def write_files(folder: Path, values: NDArray[np.float64], is_target: NDArray[np.bool_]) -> None:
    names = [f"id{10000 + row * NUM_SPEAKERS // NUM_UTTERANCES}-x6uYqmx31kE-{row:05d}" for row in range(NUM_UTTERANCES)]
    random = np.random.default_rng(1)
    pair = np.sort(random.choice(NUM_UTTERANCES**2, NUM_TRIALS, replace=False))
    trials = Trials(names, pair // NUM_UTTERANCES, pair % NUM_UTTERANCES, is_target)
    write_trials(folder / "trials", trials)
    trials = read_trials(folder / "trials")  # names in the order in which they come, as score has them
    for form, binary in (("text", False), ("binary", True)):
        write_scores(folder / form, trials, values, binary)


def from_files(folder: Path, form: str) -> None:
    trials = read_trials(folder / "trials")
    all_metrics(
        scores_of_trials(trials, read_scores(folder / form), folder / "trials", folder / form), trials.is_target
    )


def line_by_line(folder: Path) -> None:
    with (folder / "text").open() as lines:
        score = {(enroll, test): float(value) for enroll, test, value in map(str.split, lines)}
    with (folder / "trials").open() as lines:
        labelled = [(label == "target", score[enroll, test]) for enroll, test, label in map(str.split, lines)]
    det_curve(*zip(*labelled, strict=True))


def compared(
    title: str, unit: str, ways: dict[str, Callable[[], object]], rounds: int, times: tuple[int, ...]
) -> Table:
    """A table of ways, whose runs do something so many times; the first is what the others are compared with."""
    seconds = by_turns(ways, rounds, time.process_time)
    per_time = {
        way: [value / count for value in taken] for (way, taken), count in zip(seconds.items(), times, strict=True)
    }
    table = Table(title, ["way", unit, "ratio"])
    for way, taken in per_time.items():
        table.add(way, statistics.median(taken), median_ratio(next(iter(per_time.values())), taken))
    return table


def main() -> None:
    options = parser(__doc__, rounds=3, num_scores="581480,5000000", num_draws=100).parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # of the bootstrap's threads
    random = np.random.default_rng(0)
    tables = []
    for num in map(int, options.num_scores.split(",")):
        is_target = random.random(num) < 0.5
        values = random.standard_normal(num) + 4 * is_target
        ways = {
            "scikit-learn, rates alone": partial(det_curve, is_target, values),
            "spk, all metrics": partial(all_metrics, values, is_target),
        }
        tables.append(compared(f"Metrics of {num:,} scores", "s of CPU", ways, options.rounds, (1, 1)))

    is_target = np.arange(NUM_TRIALS) % 2 == 0
    enroll = random.integers(NUM_SPEAKERS, size=NUM_TRIALS)
    stranger = (enroll + random.integers(1, NUM_SPEAKERS, size=NUM_TRIALS)) % NUM_SPEAKERS
    test = np.where(is_target, enroll, stranger)
    values = random.standard_normal(NUM_TRIALS) + 4 * is_target
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder, values, is_target)
        ways = {
            "line by line, rates alone": partial(line_by_line, folder),
            "spk, all metrics, scores as text": partial(from_files, folder, "text"),
            "spk, all metrics, binary scores": partial(from_files, folder, "binary"),
        }
        title = f"From the trial list and the score file: {NUM_TRIALS:,} trials of {NUM_UTTERANCES:,} utterances"
        tables.append(compared(title, "s of CPU", ways, options.rounds, (1, 1, 1)))
    ways = {
        "the EER of repeated trials": partial(repeated, values, is_target, enroll, test),
        "spk, all metrics": partial(bootstrap, values, is_target, enroll, test, options.num_draws),
    }
    title = f"Draws of {NUM_SPEAKERS:,} speakers, {NUM_TRIALS:,} trials, {options.num_draws} draws"
    tables.append(compared(title, "s of CPU a draw", ways, options.rounds, (REPEATED_DRAWS, options.num_draws)))
    report(options, *tables)


if __name__ == "__main__":
    main()
