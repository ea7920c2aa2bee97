"""Who speaks in the trials of scores: by tables of utterances, and for enrolled models by those of their utterances."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spk.backend.models import read_models, values_of_models
from spk.data.data_dir import first_names, read_table
from spk.data.trials import Trials, trial_speakers
from spk.errors import InputError

Speakers = tuple[NDArray[np.int64], NDArray[np.int64]]


def found_from(directory: str, path: str) -> str:
    """A path that a step wrote down while it ran in `directory`; a relative one may also lie below this directory."""
    return path if Path(path).exists() else str(Path(directory) / path)


def enroll_models_of(scores: str | Path) -> str:
    """The file of the models that the enrolled side of scores names, as SCORES.json tells; '' where there are none."""
    try:
        description = json.loads(Path(f"{scores}.json").read_text(encoding="utf-8"))
        models = description.get("enroll_models")
    except (OSError, ValueError, AttributeError):
        return ""  # scores from elsewhere
    return found_from(str(description.get("directory", "")), str(models)) if models else ""


def speaker_tables(trials: str | Path, enroll_models: str) -> list[Path]:
    """utt2spk beside the trials, and beside the models where these are enrolled from another data directory."""
    folders = [Path(path).parent for path in (trials, enroll_models) if path]
    return [path for folder in dict.fromkeys(folders) if (path := folder / "utt2spk").is_file()]


def read_tables(paths: Iterable[str | Path]) -> dict[str, str]:
    """{utterance: value} of several tables as one. Raises: InputError if two of them contradict each other."""
    merged: dict[str, str] = {}
    for path in paths:
        table = read_table(path)
        for key in merged.keys() & table.keys():
            if merged[key] != table[key]:
                raise InputError(f"{path}: {key!r} is {table[key]!r} here and {merged[key]!r} in an earlier file")
        merged.update(table)
    return merged


def speakers_of_trials(trials: Trials, tables: Iterable[str | Path], enroll_models: str) -> Speakers:
    """The speakers of both sides of every trial, as indices [N]; with `enroll_models` the enrolled side names models.

    Raises: InputError for utterances and models without a speaker, models of several, tables that contradict each other
    or the labels of the trials.
    """
    utt2spk = read_tables(tables)
    if not enroll_models:
        return trial_speakers(trials, utt2spk)[:2]
    speaker_of, mixed = values_of_models(read_models(enroll_models), utt2spk)
    if mixed:
        raise InputError(f"{enroll_models}: {len(mixed)} models of several speakers: {first_names(mixed)}")
    return trial_speakers(trials, utt2spk, speaker_of)[:2]
