"""What the commands that resample speakers share: their options, and whose trials they are."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spk.bin.command import argument_parser
from spk.bin.whole_number import whole_number
from spk.data.data_dir import read_table
from spk.data.trials import Trials, trial_speakers
from spk.errors import InputError
from spk.schema import Range

log = logging.getLogger(__name__)


def parse_options(prog: str, description: str, options: Sequence[str], positions: Sequence[str]) -> argparse.Namespace:
    """The command line of a command whose --help is its docstring: `options` beside --utt2spk, --draws and --seed."""
    parser = argument_parser(prog, description, usage=argparse.SUPPRESS)
    for option in ("utt2spk", *options):
        parser.add_argument(f"--{option}", default="", help=argparse.SUPPRESS)
    for option, default in (("draws", "1000"), ("seed", "1")):
        parser.add_argument(f"--{option}", default=default, help=argparse.SUPPRESS)
    for position in positions:
        parser.add_argument(position, help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.draws = whole_number("--draws", given.draws, allowed=Range(least=2))
    given.seed = whole_number("--seed", given.seed)
    return given


def speakers_of_trials(
    files: str, trials_path: str, trials: Trials
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """The speakers of both sides of every trial, by the tables `files` (commas between them), or utt2spk beside TRIALS.

    None, after saying why, if no tables are given and the one beside TRIALS is missing or does not know its utterances.
    Raises: InputError if given tables lack an utterance, contradict each other or the labels of the trials.
    """
    if files:
        try:
            return trial_speakers(trials, read_tables(files))[:2]
        except InputError as error:
            raise InputError(f"{trials_path}: {error} ({files})") from None
    beside = Path(trials_path).with_name("utt2spk")
    if not beside.exists():
        log.warning("no intervals: no --utt2spk, and no %s", beside)
        return None
    try:
        return trial_speakers(trials, read_table(beside))[:2]
    except InputError as error:
        log.warning("no intervals: %s (%s); give --utt2spk", error, beside)
        return None


def read_tables(files: str) -> dict[str, str]:
    """{utterance: value} of several tables as one. Raises: InputError if two of them contradict each other."""
    merged: dict[str, str] = {}
    for path in files.split(","):
        table = read_table(path)
        for key in merged.keys() & table.keys():
            if merged[key] != table[key]:
                raise InputError(f"{path}: {key!r} is {table[key]!r} here and {merged[key]!r} in an earlier file")
        merged.update(table)
    return merged
