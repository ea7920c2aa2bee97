"""What train_calibration and calibrate read alike: scores of the same trials, and quality measures of these."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spk.backend.cohort import Cohort, read_cohort
from spk.backend.models import Models, UnknownModels, read_models, utterances_alone
from spk.backend.quality import (
    DURATION_TABLES,
    cohort_center,
    cohort_cosines,
    leave_out,
    log_durations,
    log_norms,
    smaller_and_larger,
)
from spk.data.data_dir import count_and_name
from spk.data.scores import read_scores, scores_of_trials
from spk.data.trials import Trials
from spk.errors import InputError

log = logging.getLogger(__name__)
# Measure -> the options that it needs; without that of the test side, the test side is as the enrolled one.
NEEDS = {
    "duration": ("enroll_data",),
    "norm": ("enroll_dir",),
    "cohort": ("enroll_dir", "cohort"),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what the quality measures are taken from")
    group.add_argument("--enroll-data", metavar="DATA", help="durations: a folder with utt2num_frames or utt2dur")
    group.add_argument("--test-data", metavar="DATA", help="the same of the tests (default: as --enroll-data)")
    group.add_argument("--enroll-dir", metavar="DIR", help="norms, cosines with a cohort: a folder with embedding.scp")
    group.add_argument("--test-dir", metavar="DIR", help="the same of the tests (default: as --enroll-dir)")
    group.add_argument("--cohort", metavar="DIR", help="the cohort's embeddings; those of the trials are left out")
    group.add_argument(
        "--cohort-models",
        metavar="SPK2UTT",
        help="its speakers, left out with all they have (default: each embedding is one)",
    )
    parser.add_argument(
        "--enroll-models", metavar="SPK2UTT", help="the enrolled models of the trials: their utterances"
    )


def check_needs(options: argparse.Namespace, measures: Sequence[str]) -> None:
    """InputError for an option that one of the quality measures lacks."""
    for measure in measures:
        for name in NEEDS[measure]:
            if getattr(options, name) is None:
                raise InputError(f"quality measure {measure!r} needs --{name.replace('_', '-')}; give it here as well")


def read_score_columns(trials: Trials, trials_path: str, paths: Sequence[str]) -> NDArray[np.float64]:
    """[N, number of files] the scores of every trial. InputError unless each file covers the trials, finitely."""
    columns = []
    for path in paths:
        values = scores_of_trials(trials, read_scores(path), trials_path, path)
        if not np.isfinite(values).all():
            line = int(np.argmin(np.isfinite(values)))
            raise InputError(f"{path}: the score of {trials.names(line)!r} is not finite; it cannot be calibrated")
        columns.append(values)
    return np.stack(columns, axis=1)


def label_of(scores: str) -> str:
    """The back-end of a score file as SCORES.json tells it; 'scores' where nothing does."""
    try:
        return str(json.loads(Path(f"{scores}.json").read_text(encoding="utf-8"))["backend"])
    except (OSError, ValueError, KeyError, TypeError):
        return "scores"


@dataclass(frozen=True)
class Side:
    """One side of the trials: its models, the trials' indices [N] into them, and where its measures are taken from."""

    models: Models
    index: NDArray[np.int64]
    data: str | None
    embeddings: str | None


def sides_of(trials: Trials, options: argparse.Namespace) -> tuple[Side, Side]:
    """The enrolled side and the tests. Raises: InputError for a model that --enroll-models does not have."""
    enrolled, enroll_index = np.unique(trials.enroll, return_inverse=True)
    tested, test_index = np.unique(trials.test, return_inverse=True)
    names = [trials.utterances[index] for index in enrolled.tolist()]
    if options.enroll_models is None:
        enroll = utterances_alone(names)
    else:
        try:
            enroll = read_models(options.enroll_models).select(names)
        except UnknownModels as error:
            raise InputError(f"{options.enroll_models}: {error}, which {options.trials} names") from None
    test = utterances_alone([trials.utterances[index] for index in tested.tolist()])
    return (
        Side(enroll, enroll_index, options.enroll_data, options.enroll_dir),
        Side(test, test_index, options.test_data or options.enroll_data, options.test_dir or options.enroll_dir),
    )


def utterances_of(sides: Iterable[Side]) -> set[str]:
    return {utterance for side in sides for utterance in side.models.utterances}


def duration_table(options: argparse.Namespace) -> str:
    """The first of utt2num_frames and utt2dur that the data directories of both sides have."""
    folders = list(dict.fromkeys([options.enroll_data, options.test_data or options.enroll_data]))
    for name in DURATION_TABLES:
        if all((Path(folder) / name).is_file() for folder in folders):
            return name
    raise InputError(
        f"{' and '.join(folders)}: no {' or '.join(DURATION_TABLES)} there; the quality measure 'duration' needs one"
    )


def read_inputs(
    trials: Trials,
    sides: Sequence[Side],
    options: argparse.Namespace,
    measures: Sequence[str],
    table: str | None,
    center: NDArray[np.float64] | None,
) -> NDArray[np.float64]:
    """[N, M] what the calibration weighs: the scores, then each quality measure, its smaller and its larger value.

    `sides` are those of `sides_of`, `table` is the file that durations are read from, `center` [D] the cohort's; None
    where no measure needs it. Raises: InputError for what is missing or not finite.
    """
    scores = read_score_columns(trials, options.trials, options.scores)
    measure_of = {
        "duration": lambda side: log_durations(Path(side.data) / table, side.models),
        "norm": lambda side: log_norms(side.embeddings, side.models),
        "cohort": lambda side: cohort_cosines(side.embeddings, side.models, center),
    }
    quality = [smaller_and_larger(*(measure_of[name](side)[side.index] for side in sides)) for name in measures]
    return np.concatenate([scores, *quality], axis=1)


def read_cohort_of(options: argparse.Namespace, measures: Sequence[str]) -> Cohort | None:
    """The cohort that the options name; None where no measure needs it. Raises: InputError, as read_cohort."""
    if "cohort" not in measures:
        return None
    cohort = read_cohort(options.cohort, options.cohort_models)
    if cohort.missing:
        log.info(
            "utterances of %s without embedding, which are not in the cohort: %s",
            options.cohort_models,
            count_and_name(cohort.missing),
        )
    return cohort


def center_without(cohort: Cohort, compared: set[str], trials: str) -> NDArray[np.float64]:
    """The `cohort_center` [D] without the members that have one of the utterances of these trials.

    An utterance's cosine with itself, or with its own speaker, is none with an impostor.
    Raises: InputError when no member is left.
    """
    others = leave_out(cohort, compared)
    if len(others) < len(cohort):
        log.info(
            "%d of the %d members of the cohort have utterances of %s and are left out of it",
            len(cohort) - len(others),
            len(cohort),
            trials,
        )
    return cohort_center(others)
