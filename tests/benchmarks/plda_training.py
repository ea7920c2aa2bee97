"""PLDA training in the basis where every posterior is diagonal, against one that inverts a matrix per speaker.

Usage: python3 tests/benchmarks/plda_training.py [--dim D] [--speakers S] [--iterations N] [--rounds R]
Drawn embeddings of S speakers with 2 to 60 utterances each, already summed up per speaker. `spk`: train_plda.
The others: the equations of its docstring as they stand, with the inverse of a D x D matrix for each speaker, or for
each number of utterances that there is. By turns; the least time of the rounds counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from spk.backend.plda import Plda
from spk.backend.plda_training import train_plda
from spk.backend.speaker_statistics import SpeakerStatistics


def drawn_statistics(num_speakers: int, dim: int) -> SpeakerStatistics:
    """Sufficient statistics of embeddings of the two-covariance model; the scatter from as many draws as it has."""
    random = np.random.default_rng(0)
    counts = random.integers(2, 61, size=num_speakers)
    mix = random.standard_normal((dim, dim)) / np.sqrt(dim)
    between = random.standard_normal((num_speakers, dim)) * np.linspace(2, 0.1, dim)
    means = (between + random.standard_normal((num_speakers, dim)) / np.sqrt(counts)[:, None]) @ mix
    residuals = random.standard_normal((int((counts - 1).sum()), dim)) @ mix
    return SpeakerStatistics(counts, means, residuals.T @ residuals)


def with_an_inverse_each(statistics: SpeakerStatistics, num_iters: int, of_counts: bool) -> Plda:
    counts, mean = statistics.counts, statistics.means.mean(axis=0)
    means = statistics.means - mean
    within = between = np.eye(statistics.dim)
    for _ in range(num_iters):
        within_inverse, between_inverse = np.linalg.inv(within), np.linalg.inv(between)
        next_between, next_within = np.zeros_like(between), statistics.scatter.copy()
        known: dict[int, np.ndarray] = {}
        for count, own in zip(counts.tolist(), means, strict=True):
            if not of_counts or count not in known:
                known[count] = np.linalg.inv(between_inverse + count * within_inverse)
            covariance = known[count]
            expected = covariance @ (count * (within_inverse @ own))
            next_between += covariance + np.outer(expected, expected)
            next_within += count * (covariance + np.outer(own - expected, own - expected))
        between, within = next_between / statistics.num_speakers, next_within / statistics.num_utterances
    return Plda.from_covariances(mean, within, between)


def seconds(function: Callable[[], Plda]) -> tuple[float, Plda]:
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def largest_difference(plda: Plda, other: Plda) -> float:
    """Of W, B and the mean, relative to the largest value of each."""
    pairs = [(plda.mean, other.mean), *zip(plda.covariances(), other.covariances(), strict=True)]
    return max(np.abs(a - b).max() / np.abs(b).max() for a, b in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("dim", 256), ("speakers", 2000), ("iterations", 1), ("rounds", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    statistics = drawn_statistics(options.speakers, options.dim)
    ways = {
        "spk": lambda: train_plda(statistics, options.iterations),
        "per number of utterances": lambda: with_an_inverse_each(statistics, options.iterations, of_counts=True),
        "per speaker": lambda: with_an_inverse_each(statistics, options.iterations, of_counts=False),
    }
    least: dict[str, float] = {}
    models: dict[str, Plda] = {}
    for _ in range(options.rounds):
        for name, way in ways.items():
            elapsed, models[name] = seconds(way)
            least[name] = min(elapsed, least.get(name, elapsed))
    print(
        f"{options.speakers} speakers, {statistics.num_utterances} utterances, {options.dim} dimensions, "
        f"{options.iterations} iterations"
    )
    for name in ways:
        print(
            f"{name:26}{least[name]:8.2f} s, {least[name] / least['spk']:6.1f} times spk, largest relative difference "
            f"{largest_difference(models['spk'], models[name]):.1e}"
        )


if __name__ == "__main__":
    main()
