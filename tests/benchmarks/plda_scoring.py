"""PLDA scoring of a VoxCeleb1-sized trial list, file to file, against one call per trial and Kaldi's program.

Usage: python3 tests/benchmarks/plda_scoring.py [--list o|e] [--dim D] [--utterances-per-model N] [--json FILE]
Drawn embeddings, trials and a PLDA model; lists as in cosine_scoring.py beside this. Ours: from the list, the model's
file, embedding.scp and ark to the score file; single utterances, the same as a binary file, and models of
--utterances-per-model utterances each. Against: every utterance, in memory, through the model once and then the log
likelihood ratio by one call per trial, for the first --slow-trials, or by one call for all trials, both without
reading or writing a file; and, where it is on PATH, Kaldi's ivector-plda-scoring on the same files (after
ivector-normalize-length, as its recipes have it). By turns, in processor time of this process and of the programs that
it calls; Kaldi's start counts, Python's does not.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from cosine_scoring import SIZES, make_files
from measure import Table, by_turns, cpu_seconds, median_ratio, parser, report
from numpy.typing import NDArray

from spk.backend import BACKENDS
from spk.backend.models import read_models
from spk.backend.plda import Plda
from spk.backend.plda_files import write_plda
from spk.backend.plda_scoring import read_plda_backend
from spk.backend.scoring import score_trials
from spk.data.ark import read_vectors
from spk.data.scores import read_scores, write_scores
from spk.data.trials import Trials, read_trials


def make_plda(folder: Path, dim: int) -> None:
    mix = np.random.default_rng(1).standard_normal((2, dim, 2 * dim)) / np.sqrt(2 * dim)
    write_plda(folder / "plda", Plda.from_covariances(np.zeros(dim), mix[0] @ mix[0].T, mix[1] @ mix[1].T))


def write_models(folder: Path, trials: Trials, size: int) -> None:
    """A model of each utterance of the trials and the next ones; models 1, 2, ... `size` utterances large by turns."""
    names = trials.utterances
    with (folder / "models").open("w") as file:
        for row, name in enumerate(names):
            members = [names[(row + step) % len(names)] for step in range(1 + row % size)]
            file.write(f"{name} {' '.join(members)}\n")


def file_to_file(folder: Path, binary: bool = False, models: bool = False) -> None:
    trials = read_trials(folder / "trials")
    transform, given = read_plda_backend(folder)
    backend = BACKENDS.build("backend", "plda", **given)
    enrolled = read_models(folder / "models") if models else None
    scores = score_trials(trials, folder, folder, backend, transform, enrolled)
    name = "scores_of_models" if models else "scores.npz" if binary else "scores"
    write_scores(folder / name, trials, scores, binary)


def one_call_per_trial(plda: Plda, vectors: NDArray[np.float64], trials: Trials, count: int) -> list[float]:
    """Utterances [U, D]; the likelihood ratio of each of the first trials."""
    projected = plda.project(vectors)
    pairs = zip(trials.enroll[:count].tolist(), trials.test[:count].tolist(), strict=True)
    return [float(log_likelihood_ratio(plda, projected[enroll], projected[test])) for enroll, test in pairs]


def all_at_once(plda: Plda, vectors: NDArray[np.float64], trials: Trials) -> NDArray[np.float64]:
    """As numpy is used without thought of memory: [N, D] of all trials' both sides."""
    projected = plda.project(vectors)
    return log_likelihood_ratio(plda, projected[trials.enroll], projected[trials.test])


def log_likelihood_ratio(plda: Plda, enroll: NDArray[np.float64], test: NDArray[np.float64]) -> NDArray[np.float64]:
    """[..., D], [..., D] -> [...]."""
    mean = plda.psi / (plda.psi + 1) * enroll
    same, any_speaker = 1 + plda.psi / (plda.psi + 1), 1 + plda.psi
    return -0.5 * (
        np.sum(np.log(same) + (test - mean) ** 2 / same, axis=-1)
        - np.sum(np.log(any_speaker) + test**2 / any_speaker, axis=-1)
    )


def kaldi_scoring(folder: Path) -> None:
    vectors = f"ark:ivector-normalize-length scp:{folder}/embedding.scp ark:- |"
    pairs, scores = str(folder / "pairs"), str(folder / "scores_of_kaldi")
    command = ["ivector-plda-scoring", "--normalize-length=true", str(folder / "plda"), vectors, vectors, pairs, scores]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def main() -> None:
    options_of = parser(__doc__, dim=192, slow_trials=5000, utterances_per_model=10)
    options_of.add_argument("--list", choices=SIZES, default="o")
    options = options_of.parse_args()
    with tempfile.TemporaryDirectory() as name:
        table = measure(options, Path(name))
    report(options, table)


def measure(options: argparse.Namespace, folder: Path) -> Table:
    num_trials, num_utterances, num_speakers = SIZES[options.list]
    make_files(folder, num_trials, num_utterances, num_speakers, options.dim)
    make_plda(folder, options.dim)
    plda, trials = read_plda_backend(folder)[1]["plda"], read_trials(folder / "trials")
    write_models(folder, trials, options.utterances_per_model)
    vectors = read_vectors(folder / "embedding.scp", trials.utterances)[1].astype(np.float64)
    vectors *= np.sqrt(options.dim) / np.linalg.norm(vectors, axis=1, keepdims=True)
    file_to_file(folder)
    scores = read_scores(folder / "scores").values
    one_by_one = one_call_per_trial(plda, vectors, trials, options.slow_trials)
    assert np.abs(scores[: len(one_by_one)] - one_by_one).max() < 1e-6
    assert np.abs(scores - all_at_once(plda, vectors, trials)).max() < 1e-6

    ways: dict[str, tuple[int, Callable[[], object]]] = {
        "one call per trial, in memory": (
            len(one_by_one),
            lambda: one_call_per_trial(plda, vectors, trials, options.slow_trials),
        ),
        "numpy, one call for all, in memory": (num_trials, lambda: all_at_once(plda, vectors, trials)),
    }
    if shutil.which("ivector-plda-scoring"):
        with (folder / "pairs").open("w") as file:
            file.writelines(f"{trials.names(line)}\n" for line in range(num_trials))
        kaldi_scoring(folder)
        assert np.abs(read_scores(folder / "scores_of_kaldi").values - scores).max() < 1e-2
        ways["Kaldi's ivector-plda-scoring"] = (num_trials, lambda: kaldi_scoring(folder))
    slow = list(ways)
    ways |= {
        "spk, file to file": (num_trials, partial(file_to_file, folder)),
        "spk, file to binary file": (num_trials, partial(file_to_file, folder, binary=True)),
        f"spk, models of 1 to {options.utterances_per_model} utterances": (
            num_trials,
            partial(file_to_file, folder, models=True),
        ),
    }
    seconds = by_turns({way: run for way, (_, run) in ways.items()}, options.rounds, cpu_seconds)
    per_trial = {way: [value / ways[way][0] for value in taken] for way, taken in seconds.items()}
    table = Table(
        f"PLDA scoring: {num_trials:,} trials of {num_utterances:,} utterances, {options.dim} dimensions",
        ["way", "trials/s of CPU", *(f"ratio to {way.partition(', in memory')[0]}" for way in slow)],
    )
    for way, taken in per_trial.items():
        table.add(way, 1 / statistics.median(taken), *(median_ratio(per_trial[other], taken) for other in slow))
    return table


if __name__ == "__main__":
    main()
