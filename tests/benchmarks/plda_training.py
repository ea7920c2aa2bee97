"""PLDA training, file to file, against Kaldi's program, and its algorithm against an inverse for every speaker.

Usage: python3 tests/benchmarks/plda_training.py [--speakers S] [--utterances N] [--dim D] [--iterations I] [--rounds R]
File to file: drawn embeddings of S speakers with N utterances each; from utt2spk, embedding.scp and ark to the model's
file, with Kaldi's defaults (no LDA, no length normalisation) and with length normalisation, where the embeddings are
read twice. Where it is on PATH, Kaldi's ivector-compute-plda on the same files. In processor time; Kaldi's start
counts, Python's does not. The parts: where our time goes. In memory: from statistics per speaker of 2 to 60 utterances,
the equations of train_plda's docstring as they stand, with the inverse of a D x D matrix for each speaker, or for each
number of utterances that there is; one iteration.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from measure import Table, by_turns, cpu_seconds, median_ratio, parser, report

from spk.backend.plda import Plda
from spk.backend.plda_backend import train_plda_backend, write_backend
from spk.backend.plda_training import train_plda
from spk.backend.speaker_statistics import SpeakerStatistics
from spk.backend.training_set import read_training_set
from spk.embed.write import write_embeddings


def make_files(folder: Path, num_speakers: int, num_utterances: int, dim: int) -> None:
    random = np.random.default_rng(0)
    mix = random.standard_normal((dim, dim)) / np.sqrt(dim)
    speakers = random.standard_normal((num_speakers, 1, dim)) * np.linspace(2, 0.1, dim)
    vectors = ((speakers + random.standard_normal((num_speakers, num_utterances, dim))) @ mix).reshape(-1, dim)
    utterances = [
        [f"id{10000 + s}-x6uYqmx31kE-{number:05d}" for number in range(num_utterances)] for s in range(num_speakers)
    ]
    names = [name for group in utterances for name in group]
    write_embeddings(str(folder / "embedding"), names, vectors.astype(np.float32))
    (folder / "utt2spk").write_text("".join(f"{name} {name[:7]}\n" for name in names))
    (folder / "spk2utt").write_text("".join(f"{group[0][:7]} {' '.join(group)}\n" for group in utterances))


def file_to_file(folder: Path, num_iters: int, length_normalize: bool) -> None:
    training = read_training_set(folder, folder, folder / "backend" / "missing")
    backend = train_plda_backend(training, None, length_normalize, num_iters)
    write_backend(folder / "backend", backend)


def kaldi_training(folder: Path, num_iters: int) -> None:
    files = [f"ark:{folder}/spk2utt", f"scp:{folder}/embedding.scp", f"{folder}/plda_of_kaldi"]
    command = ["ivector-compute-plda", f"--num-em-iters={num_iters}", *files]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


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


def largest_difference(plda: Plda, other: Plda) -> float:
    """Of W, B and the mean, relative to the largest value of each."""
    pairs = [(plda.mean, other.mean), *zip(plda.covariances(), other.covariances(), strict=True)]
    return max(np.abs(a - b).max() / np.abs(b).max() for a, b in pairs)


def main() -> None:
    options_of = parser(__doc__, dim=192, speakers=1500, utterances=24, iterations=10, slow_rounds=1)
    options = options_of.parse_args()
    with tempfile.TemporaryDirectory() as name:
        tables = files_and_parts(options, Path(name))
    report(options, *tables, algorithms(options))


def files_and_parts(options: argparse.Namespace, folder: Path) -> list[Table]:
    make_files(folder, options.speakers, options.utterances, options.dim)
    training = read_training_set(folder, folder, folder / "missing")
    sums = training.statistics()
    kaldi = "Kaldi's ivector-compute-plda"
    ways = {
        "spk, Kaldi's defaults": partial(file_to_file, folder, options.iterations, False),
        "spk, lengths normalised": partial(file_to_file, folder, options.iterations, True),
    }
    if shutil.which("ivector-compute-plda"):
        ways[kaldi] = partial(kaldi_training, folder, options.iterations)
    parts = {
        "names, speakers and places of the embeddings": lambda: read_training_set(folder, folder, folder / "missing"),
        "embeddings read and summed": training.statistics,
        f"{options.iterations} iterations": lambda: train_plda(sums, options.iterations),
    }
    seconds = by_turns(ways | parts, options.rounds, cpu_seconds)
    sizes = f"{options.speakers:,} speakers x {options.utterances} utterances, {options.dim} dimensions"
    whole = Table(
        f"PLDA training, file to file: {sizes}, {options.iterations} iterations", ["way", "s of CPU", "ratio"]
    )
    for way in ways:
        ratio = median_ratio(seconds[kaldi], seconds[way]) if kaldi in seconds else None
        whole.add(way, statistics.median(seconds[way]), ratio)
    shares = Table("Its parts, with Kaldi's defaults", ["part", "s of CPU", "share"])
    total = statistics.median(seconds["spk, Kaldi's defaults"])
    for part in parts:
        taken = statistics.median(seconds[part])
        shares.add(part, taken, taken / total)
    return [whole, shares]


def algorithms(options: argparse.Namespace) -> Table:
    sums = drawn_statistics(options.speakers, options.dim)
    ways = {
        "spk": lambda: train_plda(sums, 1),
        "an inverse per number of utterances": lambda: with_an_inverse_each(sums, 1, of_counts=True),
        "an inverse per speaker": lambda: with_an_inverse_each(sums, 1, of_counts=False),
    }
    models = {way: run() for way, run in ways.items()}
    seconds = by_turns(ways, options.slow_rounds, cpu_seconds)
    table = Table(
        f"An iteration in memory: {options.speakers:,} speakers of 2 to 60 utterances, {options.dim} dimensions",
        ["way", "s of CPU", "ratio of spk", "largest relative difference"],
    )
    for way, taken in seconds.items():
        ratio = median_ratio(taken, seconds["spk"])
        table.add(way, statistics.median(taken), ratio, largest_difference(models["spk"], models[way]))
    return table


if __name__ == "__main__":
    main()
