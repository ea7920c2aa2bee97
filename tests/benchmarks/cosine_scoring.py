"""Cosine scoring of a VoxCeleb1-sized trial list, file to file, against one cosine_similarity call per trial.

Usage: python3 tests/benchmarks/cosine_scoring.py [--list o|e] [--dim D] [--rounds R]
Drawn embeddings and trials of the size of VoxCeleb1-O (37,720 trials, 4,708 utterances) or VoxCeleb1-E (581,480 trials,
145,160 utterances) are written to a temporary folder. `spk`: from the trial list, embedding.scp and ark to the score
file, in one process and as the command with Python's start. `torch`: the calls alone, on tensors in memory. By turns.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cosine_similarity

from spk.backend import BACKENDS
from spk.backend.scoring import score_trials
from spk.data.ark import read_vectors
from spk.data.scores import read_scores, write_scores
from spk.data.trials import read_trials
from spk.embed.write import write_embeddings

SIZES = {"o": (37_720, 4_708, 40), "e": (581_480, 145_160, 1_251)}  # trials, utterances, speakers
TORCH_CALLS = 10_000  # a longer list takes as long per trial


def make_files(folder: Path, num_trials: int, num_utterances: int, num_speakers: int, dim: int) -> None:
    random = np.random.default_rng(0)
    speakers = np.sort(random.integers(num_speakers, size=num_utterances))
    names = [f"id{10000 + speaker}-x6uYqmx31kE-{number:05d}" for number, speaker in enumerate(speakers)]
    write_embeddings(str(folder / "embedding"), names, random.standard_normal((num_utterances, dim), dtype=np.float32))
    enroll = np.sort(random.integers(num_utterances, size=num_trials))
    test = random.integers(num_utterances, size=num_trials)
    with (folder / "trials").open("w") as file:
        for e, t in zip(enroll, test, strict=True):
            file.write(f"{names[e]} {names[t]} {'target' if speakers[e] == speakers[t] else 'nontarget'}\n")


def file_to_file(folder: Path) -> None:
    trials = read_trials(folder / "trials")
    write_scores(folder / "scores", trials, score_trials(trials, folder, folder, BACKENDS.build("backend", "cosine")))


def with_start_up(folder: Path) -> None:
    command = [sys.executable, "-m", "spk.bin.score", folder / "trials", folder, folder, folder / "scores"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def one_call_per_trial(embeddings: torch.Tensor, pairs: list[tuple[int, int]]) -> list[float]:
    return [float(cosine_similarity(embeddings[enroll], embeddings[test], dim=0)) for enroll, test in pairs]


def rate(count: int, function: Callable[..., object], *arguments: object) -> float:
    """Trials a second of one run."""
    start = time.perf_counter()
    function(*arguments)
    return count / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", choices=SIZES, default="o")
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    num_trials, num_utterances, num_speakers = SIZES[options.list]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_files(folder, num_trials, num_utterances, num_speakers, options.dim)
        trials = read_trials(folder / "trials")
        embeddings = torch.from_numpy(read_vectors(folder / "embedding.scp", trials.utterances)[1])
        pairs = list(zip(trials.enroll.tolist(), trials.test.tolist(), strict=True))[:TORCH_CALLS]
        file_to_file(folder)
        difference = np.abs(read_scores(folder / "scores").values[: len(pairs)] - one_call_per_trial(embeddings, pairs))
        rates = [
            (
                rate(len(pairs), one_call_per_trial, embeddings, pairs),
                rate(num_trials, file_to_file, folder),
                rate(num_trials, with_start_up, folder),
            )
            for _ in range(options.rounds)
        ]
    print(
        f"{num_trials} trials of {num_utterances} utterances, {options.dim} dimensions; thousands of trials a second,"
    )
    print(f"median (best) of {len(rates)} rounds")
    for what, column in zip(
        ("torch, one call per trial", "file to file", "file to file, with Python's start"),
        zip(*rates, strict=True),
        strict=True,
    ):
        ratio = statistics.median(spk / calls for spk, (calls, *_) in zip(column, rates, strict=True))
        print(
            f"{what:34s} {statistics.median(column) / 1000:7.1f} ({max(column) / 1000:.1f}), {ratio:5.1f} times torch"
        )
    print(f"largest difference of the scores {difference.max():.1e}")


if __name__ == "__main__":
    main()
