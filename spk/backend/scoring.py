"""Score a trial list: each utterance is read, transformed and represented once, each trial compares two of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spk.backend.embedding_reader import MissingEmbeddings, map_embeddings
from spk.backend.lda import LinearTransform
from spk.backend.registry import Backend
from spk.data.trials import Trials
from spk.errors import InputError


def score_trials(
    trials: Trials,
    enroll_dir: str | os.PathLike[str],
    test_dir: str | os.PathLike[str],
    backend: Backend,
    transform: LinearTransform | None = None,
) -> NDArray[np.floating]:
    """[N] the score of every trial, in their order.

    enroll_dir and test_dir hold embedding.scp; `transform` is applied to every crop embedding before the back-end.
    Raises: MissingEmbeddings; InputError for embeddings that are damaged, not finite, of length 0 or of unlike shapes.
    """

    def represent(crops: NDArray[np.float32]) -> NDArray[np.floating]:
        return backend.represent(crops if transform is None else transform(crops))

    if Path(enroll_dir).resolve() == Path(test_dir).resolve():
        table = read_side(trials, enroll_dir, np.arange(len(trials.utterances)), represent)
        return backend.score(table, table, trials.enroll, trials.test)
    enrolled, enroll_index = np.unique(trials.enroll, return_inverse=True)
    tested, test_index = np.unique(trials.test, return_inverse=True)
    enroll = read_side(trials, enroll_dir, enrolled, represent)
    test = read_side(trials, test_dir, tested, represent)
    if enroll.shape[1:] != test.shape[1:]:
        raise InputError(
            f"the embeddings in {enroll_dir} have the shape {list(enroll.shape[1:])} and those in {test_dir} "
            f"{list(test.shape[1:])}; extract both with the same system"
        )
    return backend.score(enroll, test, enroll_index, test_index)


def read_side(
    trials: Trials,
    directory: str | os.PathLike[str],
    used: NDArray[np.int64],
    represent: Callable[[NDArray[np.float32]], NDArray[np.floating]],
) -> NDArray[np.floating]:
    """Representations of the trials' utterances `used`, in their order; MissingEmbeddings counts trials concerned."""
    try:
        return map_embeddings(directory, [trials.utterances[index] for index in used.tolist()], represent)
    except MissingEmbeddings as error:
        absent = set(error.utterances)
        concerned = np.array([trials.utterances[index] in absent for index in range(len(trials.utterances))])
        count = np.count_nonzero(concerned[trials.enroll] | concerned[trials.test])
        raise MissingEmbeddings(
            f"{count} of {len(trials)} trials cannot be scored: {error}", error.utterances
        ) from None
