"""Cosine scoring of a VoxCeleb1-sized trial list, file to file, against scoring trial by trial.

Usage: python3 tests/benchmarks/cosine_scoring.py [--list o|e] [--dim D] [--peer-wespeaker DIR] [--rounds R] [--json F]
Drawn embeddings and trials of the size of VoxCeleb1-O (37,720 trials, 4,708 utterances) or VoxCeleb1-E (581,480 trials,
145,160 utterances) are written to a temporary folder. Ours: from the trial list, embedding.scp and ark to the score
file, in this process; as text and in the binary form; and all in memory. Against: one call of torch's
cosine_similarity per trial, on tensors in memory; scikit-learn's per trial on embeddings that kaldiio read, file to
file; with --peer-wespeaker that loop of a tree of wespeaker (wespeaker/bin/score.py: trials_cosine_score); and one
product of numpy for all trials in memory, which reads and writes no file. Ways with a call per trial take as long per
trial whatever the length of the list, and score the first --slow-trials. By turns in processor time; the command with
Python's start, which is another process, in seconds on the wall. Then how score files are written and read.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import kaldiio
import numpy as np
import torch
from measure import Table, by_turns, median_ratio, parser, report
from numpy.typing import NDArray
from sklearn.metrics.pairwise import cosine_similarity as sklearn_cosine_similarity
from torch.nn.functional import cosine_similarity

from spk.backend import BACKENDS
from spk.backend.length import unit_length
from spk.backend.scoring import score_trials
from spk.data.ark import read_vectors
from spk.data.scores import read_scores, scores_of_trials, write_scores
from spk.data.trials import Trials, read_trials
from spk.embed.write import write_embeddings

SIZES = {"o": (37_720, 4_708, 40), "e": (581_480, 145_160, 1_251)}  # trials, utterances, speakers


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


def file_to_file(folder: Path, binary: bool = False) -> None:
    trials = read_trials(folder / "trials")
    scores = score_trials(trials, folder, folder, BACKENDS.build("backend", "cosine"))
    write_scores(folder / ("scores.npz" if binary else "scores"), trials, scores, binary)


def with_start_up(folder: Path) -> None:
    command = [sys.executable, "-m", "spk.bin.score", folder / "trials", folder, folder, folder / "scores"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def one_call_per_trial(embeddings: torch.Tensor, pairs: list[tuple[int, int]]) -> list[float]:
    return [float(cosine_similarity(embeddings[enroll], embeddings[test], dim=0)) for enroll, test in pairs]


def all_at_once(embeddings: NDArray[np.float32], trials: Trials) -> NDArray[np.float32]:
    """As numpy is used without thought of memory: [N, D] of all trials' both sides."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.einsum("nd,nd->n", unit[trials.enroll], unit[trials.test])


def in_memory(embeddings: NDArray[np.float32], trials: Trials) -> NDArray[np.float32]:
    unit = unit_length(embeddings)
    return BACKENDS.build("backend", "cosine").score(unit, unit, trials.enroll, trials.test)


def sklearn_per_trial(folder: Path, trials: Path, output: Path) -> None:
    embeddings = dict(kaldiio.load_scp_sequential(str(folder / "embedding.scp")))
    with trials.open() as lines, output.open("w") as written:
        for line in lines:
            enroll, test, label = line.split()
            score = sklearn_cosine_similarity(embeddings[enroll][None], embeddings[test][None])[0][0]
            written.write(f"{enroll} {test} {score:.5f} {label}\n")


def wespeaker_loop(tree: str, folder: Path, trials: Path) -> Callable[[], object]:
    """Its trials_cosine_score on the same files, without subtracting a mean; it writes beside them."""
    sys.path.insert(0, tree)
    try:
        spec = importlib.util.spec_from_file_location("peer_score", Path(tree) / "wespeaker" / "bin" / "score.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except (OSError, ImportError) as error:
        raise SystemExit(f"--peer-wespeaker {tree}: {error}; give a checkout, with what it needs installed") from None
    places = {"eval_scp_path": str(folder / "embedding.scp"), "store_dir": str(folder), "trials": [str(trials)]}
    return lambda: module.trials_cosine_score(**places)


def score_files(folder: Path, rounds: int) -> Table:
    """Both forms of the score file: its size, writing and reading."""
    trials, scores = read_trials(folder / "trials"), read_scores(folder / "scores.npz")
    values = scores_of_trials(trials, scores, "trials", "scores").astype(np.float32)
    forms = {"text": False, "binary": True}
    ways = {}
    for name, binary in forms.items():
        ways[f"write {name}"] = partial(write_scores, folder / name, trials, values, binary)
        ways[f"read {name}"] = partial(read_scores, folder / name)
    seconds = by_turns(ways, rounds, time.process_time)
    table = Table(
        f"Score files of {len(trials):,} float32 scores",
        ["form", "MB", "write s", "read s", "write ratio", "read ratio"],
    )
    for name in forms:
        table.add(
            name,
            (folder / name).stat().st_size / 1e6,
            *(statistics.median(seconds[f"{what} {name}"]) for what in ("write", "read")),
            *(median_ratio(seconds[f"{what} text"], seconds[f"{what} {name}"]) for what in ("write", "read")),
        )
    return table


def main() -> None:
    options_of = parser(__doc__, dim=512, slow_trials=5000, peer_wespeaker="")
    options_of.add_argument("--list", choices=SIZES, default="o")
    options = options_of.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        tables = measure(options, Path(name))
    report(options, *tables)


def measure(options: argparse.Namespace, folder: Path) -> list[Table]:
    num_trials, num_utterances, num_speakers = SIZES[options.list]
    make_files(folder, num_trials, num_utterances, num_speakers, options.dim)
    trials = read_trials(folder / "trials")
    embeddings = torch.from_numpy(read_vectors(folder / "embedding.scp", trials.utterances)[1])
    pairs = list(zip(trials.enroll.tolist(), trials.test.tolist(), strict=True))[: options.slow_trials]
    file_to_file(folder)
    difference = np.abs(read_scores(folder / "scores").values[: len(pairs)] - one_call_per_trial(embeddings, pairs))
    assert difference.max() < 1e-5

    assert np.abs(read_scores(folder / "scores").values - all_at_once(embeddings.numpy(), trials)).max() < 1e-5

    first_trials = folder / "first_trials"
    with (folder / "trials").open() as lines, first_trials.open("w") as written:
        written.writelines(line for line, _ in zip(lines, pairs, strict=False))
    all_trials = {"numpy, one call for all, in memory": lambda: all_at_once(embeddings.numpy(), trials)}
    slow = {
        "torch, one call per trial, in memory": lambda: one_call_per_trial(embeddings, pairs),
        "scikit-learn, one call per trial": lambda: sklearn_per_trial(folder, first_trials, folder / "slow_scores"),
    }
    if options.peer_wespeaker:
        slow["wespeaker's loop"] = wespeaker_loop(options.peer_wespeaker, folder, first_trials)
    ours = {
        "spk, in memory": lambda: in_memory(embeddings.numpy(), trials),
        "spk, file to file": lambda: file_to_file(folder),
        "spk, file to binary file": lambda: file_to_file(folder, binary=True),
    }
    seconds = by_turns(slow | all_trials | ours, options.rounds, time.process_time)
    seconds |= by_turns({"spk, the command with Python's start (wall)": lambda: with_start_up(folder)}, options.rounds)
    per_trial = {
        way: [value / (len(pairs) if way in slow else num_trials) for value in taken] for way, taken in seconds.items()
    }
    others = [*slow, *all_trials]
    columns = ["way", "trials/s", *(f"ratio to {way.split(',')[0]}" for way in others)]
    table = Table(
        f"Cosine scoring: {num_trials:,} trials of {num_utterances:,} utterances, {options.dim} dimensions", columns
    )
    for way, taken in per_trial.items():
        table.add(way, 1 / statistics.median(taken), *(median_ratio(per_trial[other], taken) for other in others))
    return [table, score_files(folder, options.rounds)]


if __name__ == "__main__":
    main()
