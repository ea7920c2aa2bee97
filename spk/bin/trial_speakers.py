"""What the commands that resample speakers share: their options, and whose trials they are."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from spk.bin.command import argument_parser
from spk.bin.whole_number import whole_number
from spk.data.trials import Trials
from spk.errors import InputError
from spk.report.speakers import Speakers, speaker_tables, speakers_of_trials
from spk.schema import Range

log = logging.getLogger(__name__)


def parse_options(prog: str, description: str, options: Sequence[str], positions: Sequence[str]) -> argparse.Namespace:
    """The command line of a command whose --help is its docstring: `options` beside those that all of them have."""
    parser = argument_parser(prog, description, usage=argparse.SUPPRESS)
    for option in ("utt2spk", "enroll-models", *options):
        parser.add_argument(f"--{option}", default="", help=argparse.SUPPRESS)
    for option, default in (("draws", "1000"), ("seed", "1")):
        parser.add_argument(f"--{option}", default=default, help=argparse.SUPPRESS)
    for position in positions:
        parser.add_argument(position, help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.draws = whole_number("--draws", given.draws, allowed=Range(least=2))
    given.seed = whole_number("--seed", given.seed)
    return given


def find_speakers(files: str, trials_path: str, trials: Trials, enroll_models: str) -> Speakers | None:
    """The speakers of both sides of every trial, by the tables `files` (commas between them), or else by utt2spk beside
    TRIALS and beside the models that the enrolled side names.

    None, after saying why, if no tables are given and these are missing or do not know the utterances.
    Raises: InputError if given tables lack an utterance, contradict each other or the labels of the trials.
    """
    if files:
        try:
            return speakers_of_trials(trials, files.split(","), enroll_models)
        except InputError as error:
            raise InputError(f"{trials_path}: {error} ({files})") from None
    tables = speaker_tables(trials_path, enroll_models)
    if not tables:
        log.warning("no intervals: no --utt2spk, and no %s", Path(trials_path).with_name("utt2spk"))
        return None
    try:
        return speakers_of_trials(trials, tables, enroll_models)
    except InputError as error:
        log.warning("no intervals: %s (%s); give --utt2spk", error, ", ".join(map(str, tables)))
        return None
