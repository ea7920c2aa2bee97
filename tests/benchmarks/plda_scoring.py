"""PLDA scoring of a VoxCeleb1-sized trial list, file to file, against one call per trial.

Usage: python3 tests/benchmarks/plda_scoring.py [--list o|e] [--dim D] [--rounds R]
Drawn embeddings, trials and a PLDA model; lists as in cosine_scoring.py beside this. `file to file`: from the list, the
model's file, embedding.scp and ark to the score file. `one call per trial`: both embeddings of a trial, in memory, go
through the model and then the log likelihood ratio. By turns, in processor time, which knows of no other work.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from cosine_scoring import SIZES, make_files
from numpy.typing import NDArray

from spk.backend import BACKENDS
from spk.backend.plda import Plda
from spk.backend.plda_files import write_plda
from spk.backend.plda_scoring import read_plda_backend
from spk.backend.scoring import score_trials
from spk.data.ark import read_vectors
from spk.data.scores import read_scores, write_scores
from spk.data.trials import Trials, read_trials

SLOW_CALLS = 5_000  # a longer list takes as long per trial


def make_plda(folder: Path, dim: int) -> None:
    mix = np.random.default_rng(1).standard_normal((2, dim, 2 * dim)) / np.sqrt(2 * dim)
    write_plda(folder / "plda", Plda.from_covariances(np.zeros(dim), mix[0] @ mix[0].T, mix[1] @ mix[1].T))


def file_to_file(folder: Path) -> None:
    trials = read_trials(folder / "trials")
    transform, given = read_plda_backend(folder)
    backend = BACKENDS.build("backend", "plda", **given)
    write_scores(folder / "scores", trials, score_trials(trials, folder, folder, backend, transform))


def one_call_per_trial(plda: Plda, vectors: NDArray[np.float64], trials: Trials) -> list[float]:
    """Projected utterances [U, D]; the likelihood ratio of each of the first trials."""
    scores = []
    for line in range(min(len(trials), SLOW_CALLS)):
        enroll, test = (plda.project(vectors[[index[line]]])[0] for index in (trials.enroll, trials.test))
        scores.append(log_likelihood_ratio(plda, enroll, test))
    return scores


def log_likelihood_ratio(plda: Plda, enroll: NDArray[np.float64], test: NDArray[np.float64]) -> float:
    mean = plda.psi / (plda.psi + 1) * enroll
    same, any_speaker = 1 + plda.psi / (plda.psi + 1), 1 + plda.psi
    return -0.5 * float(
        np.sum(np.log(same) + (test - mean) ** 2 / same) - np.sum(np.log(any_speaker) + test**2 / any_speaker)
    )


def rate(count: int, function: Callable[..., object], *arguments: object) -> float:
    """Trials a second of processor time of one run."""
    start = time.process_time()
    function(*arguments)
    return count / (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", choices=SIZES, default="o")
    parser.add_argument("--dim", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    num_trials, num_utterances, num_speakers = SIZES[options.list]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_files(folder, num_trials, num_utterances, num_speakers, options.dim)
        make_plda(folder, options.dim)
        plda, trials = read_plda_backend(folder)[1]["plda"], read_trials(folder / "trials")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        file_to_file(folder)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        vectors = read_vectors(folder / "embedding.scp", trials.utterances)[1].astype(np.float64)
        vectors *= np.sqrt(options.dim) / np.linalg.norm(vectors, axis=1, keepdims=True)
        slow = one_call_per_trial(plda, vectors, trials)
        difference = np.abs(read_scores(folder / "scores").values[: len(slow)] - slow)
        rates = [
            (rate(len(slow), one_call_per_trial, plda, vectors, trials), rate(num_trials, file_to_file, folder))
            for _ in range(options.rounds)
        ]
    slow_rate, fast_rate = (statistics.median(column) for column in zip(*rates, strict=True))
    print(
        f"{num_trials} trials of {num_utterances} utterances, {options.dim} dimensions; "
        f"processor time, median of {len(rates)} rounds"
    )
    print(f"one call per trial {slow_rate:12,.0f} trials a second")
    print(f"file to file       {fast_rate:12,.0f} trials a second, {fast_rate / slow_rate:.0f} times as many")
    print(f"memory of file to file {memory / 1024:.0f} MiB; largest difference of the scores {difference.max():.1e}")


if __name__ == "__main__":
    main()
