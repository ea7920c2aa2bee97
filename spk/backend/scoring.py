"""Score a trial list: each utterance is read, transformed and represented once, each trial compares two of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spk.backend.cohort import Cohort, refuse_shared_utterances
from spk.backend.embedding_reader import MissingEmbeddings, map_embeddings
from spk.backend.lda import LinearTransform
from spk.backend.models import Models, average_embeddings
from spk.backend.registry import Backend
from spk.backend.score_normalization import SIDES, check_cohort_size, cohort_statistics
from spk.data.trials import Pairs
from spk.errors import InputError

Represent = Callable[[NDArray[np.float32]], NDArray[np.floating]]


@dataclass(frozen=True)
class Normalization:
    """What scores are made relative to: see spk/backend/score_normalization.py. `top_n` is for the norm 'as'."""

    norm: str
    cohort: Cohort
    top_n: int


@dataclass(frozen=True)
class Side:
    """One side of the trials: the representations `table` [S, ...] of what has these names, and each trial's row [N].

    `num_utterances` [S] is None where every row is one utterance.
    """

    names: list[str]
    table: NDArray[np.floating]
    index: NDArray[np.int64]
    num_utterances: NDArray[np.int64] | None = None


def score_trials(
    trials: Pairs,
    enroll_dir: str | os.PathLike[str],
    test_dir: str | os.PathLike[str],
    backend: Backend,
    transform: LinearTransform | None = None,
    models: Models | None = None,
    normalization: Normalization | None = None,
    progress: Callable[[int], object] = lambda count: None,
) -> NDArray[np.floating]:
    """[N] the score of every trial, in their order.

    enroll_dir and test_dir hold embedding.scp; `transform` is applied to every crop embedding before the back-end. With
    `models` the enrolled side of the trials names models of several utterances. `progress` is told of the rows that
    normalisation has statistics of.
    Raises: MissingEmbeddings; UnknownModels; InputError for embeddings that are damaged, not finite, of length 0 or of
    unlike shapes, and for a cohort that is too small or shares utterances with the trials.
    """

    def represent(crops: NDArray[np.float32]) -> NDArray[np.floating]:
        return backend.represent(crops if transform is None else transform(crops))

    if normalization is not None:
        check_cohort_size(normalization.norm, normalization.top_n, len(normalization.cohort))
        refuse_shared_utterances(normalization.cohort, compared_utterances(trials, models))
    if models is None and Path(enroll_dir).resolve() == Path(test_dir).resolve():
        table = map_trials(trials, enroll_dir, represent, trials.utterances, trials.enroll, trials.test)
        enroll, test = (Side(trials.utterances, table, index) for index in (trials.enroll, trials.test))
    else:
        names, index = used_names(trials, trials.enroll)
        if models is None:
            enroll = Side(names, map_trials(trials, enroll_dir, represent, names, index), index)
        else:
            enroll = read_models_side(trials, enroll_dir, represent, models.select(names), index)
        names, index = used_names(trials, trials.test)
        test = Side(names, map_trials(trials, test_dir, represent, names, index), index)
    refuse_other_shape(enroll, enroll_dir, test.table, test_dir)
    scores = backend.score(enroll.table, test.table, enroll.index, test.index, enroll.num_utterances)
    if normalization is not None:
        cohort = average_embeddings(normalization.cohort.directory, normalization.cohort.models, represent)
        refuse_other_shape(enroll, enroll_dir, cohort, normalization.cohort.directory)
        scores = normalize(scores, backend, enroll, test, cohort, normalization, progress)
    if not np.isfinite(scores).all():
        bad = np.flatnonzero(~np.isfinite(scores))
        raise InputError(
            f"{len(bad)} scores are not finite, the first that of {trials.names(bad[0])!r}: centred, one of the "
            "two has length 0 and no direction"
        )
    return scores


def normalize(
    scores: NDArray[np.floating],
    backend: Backend,
    enroll: Side,
    test: Side,
    cohort: NDArray[np.floating],
    normalization: Normalization,
    progress: Callable[[int], object] = lambda count: None,
) -> NDArray[np.float64]:
    """[N] the scores relative to those of the enrolled side, the tested side or both against the cohort [C, ...].

    The statistics of an utterance that stands on both sides are computed once.
    """
    sides = [{"enroll": enroll, "test": test}[name] for name in SIDES[normalization.norm]]
    top_n = normalization.top_n if normalization.norm == "as" else None
    is_shared = all(side.table is sides[0].table for side in sides)
    groups = [sides] if is_shared else [[side] for side in sides]
    normalized = np.zeros(len(scores))
    for group in groups:
        names, table, num_utterances = group[0].names, group[0].table, group[0].num_utterances
        is_used = np.zeros(len(names), bool)
        for side in group:
            is_used[side.index] = True
        if not is_used.all():
            table, num_utterances = table[is_used], None if num_utterances is None else num_utterances[is_used]
        row_of = np.cumsum(is_used) - 1
        statistics = cohort_statistics(backend, table, cohort, num_utterances, top_n, progress)
        if not statistics.deviation.all():
            name = names[np.flatnonzero(is_used)[np.argmin(statistics.deviation)]]
            raise InputError(
                f"--norm {normalization.norm}: {name!r} has the same score against all members of the cohort "
                f"{normalization.cohort.directory} that count, and nothing can be divided by a deviation of 0"
            )
        for side in group:
            normalized += statistics.normalize(scores, row_of[side.index])
    return normalized / len(sides)


def self_trials(trials: Pairs, models: Models | None) -> NDArray[np.int64]:
    """The trials (their places) whose tested utterance is the enrolled one, or enrolled the model."""
    if models is None:
        return np.flatnonzero(trials.enroll == trials.test)
    place = dict(zip(trials.utterances, range(len(trials.utterances)), strict=True))
    model_places = np.array([place.get(name, -1) for name in models.names])[models.owners()]
    member_places = np.array([place.get(name, -1) for name in models.utterances])[models.members]
    both = (model_places >= 0) & (member_places >= 0)
    enrolled = Pairs(trials.utterances, model_places[both], member_places[both])
    return np.flatnonzero(np.isin(trials.keys(), enrolled.keys()))


def compared_utterances(trials: Pairs, models: Models | None) -> set[str]:
    """The utterances behind the trials; those of models that no trial names are among them."""
    if models is None:
        return set(trials.utterances)
    return {*models.utterances, *used_names(trials, trials.test)[0]}


def used_names(trials: Pairs, column: NDArray[np.int64]) -> tuple[list[str], NDArray[np.int64]]:
    """The distinct names of one column of the trials, and for every trial the row [N] of its name."""
    used, index = np.unique(column, return_inverse=True)
    return [trials.utterances[row] for row in used.tolist()], index


def map_trials(
    trials: Pairs,
    directory: str | os.PathLike[str],
    represent: Represent,
    names: list[str],
    *indices: NDArray[np.int64],
) -> NDArray[np.floating]:
    """Representations of utterances, to which `indices` [N] of the trials point; MissingEmbeddings counts trials."""
    try:
        return map_embeddings(directory, names, represent)
    except MissingEmbeddings as error:
        absent = set(error.utterances)
        raise concerning(trials, error, np.array([name in absent for name in names]), *indices) from None


def read_models_side(
    trials: Pairs, directory: str | os.PathLike[str], represent: Represent, models: Models, index: NDArray[np.int64]
) -> Side:
    """The enrolled side of models, to which `index` [N] of the trials points; MissingEmbeddings counts trials."""
    try:
        table = average_embeddings(directory, models, represent)
    except MissingEmbeddings as error:
        absent = set(error.utterances)
        is_absent = np.array([utterance in absent for utterance in models.utterances])
        lacking = np.logical_or.reduceat(is_absent[models.members], models.starts[:-1])
        raise concerning(trials, error, lacking, index) from None
    return Side(models.names, table, index, models.num_utterances)


def concerning(
    trials: Pairs, error: MissingEmbeddings, is_missing: NDArray[np.bool_], *indices: NDArray[np.int64]
) -> MissingEmbeddings:
    """The error with the number of trials one of whose `indices` points at a missing row."""
    count = np.count_nonzero(np.logical_or.reduce([is_missing[index] for index in indices]))
    return MissingEmbeddings(f"{count} of {len(trials)} trials cannot be scored: {error}", error.utterances)


def refuse_other_shape(enroll: Side, enroll_dir: object, table: NDArray[np.floating], directory: object) -> None:
    if enroll.table.shape[1:] != table.shape[1:]:
        raise InputError(
            f"the embeddings in {enroll_dir} have the shape {list(enroll.table.shape[1:])} and those in {directory} "
            f"{list(table.shape[1:])}; extract both with the same system"
        )
