"""Quality measures of a trial: how long its utterances are, how large their embeddings, how near to other speakers.

Thienpondt et al., The IDLab VoxSRC-20 submission, ICASSP 2021 (arXiv:2010.11255): duration, magnitude of the embedding
and mean similarity to impostors are inputs of the calibration beside the score. Which side is called enrolment must not
matter: a measure enters as the smaller and the larger of its two values. Linear weights of these two are as good as
those of mean and absolute difference. A model of several utterances has the sum of their durations, the mean of the
magnitudes and the mean of the similarities.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spk.backend.cohort import Cohort
from spk.backend.embedding_reader import mapped_blocks
from spk.backend.length import unit_length
from spk.backend.models import Models, average_embeddings
from spk.data.data_dir import first_names, read_table
from spk.errors import InputError

MEASURES = ("duration", "norm", "cohort")
DURATION_TABLES = ("utt2num_frames", "utt2dur")  # of a data directory: durations in frames, in seconds


def smaller_and_larger(enroll: NDArray[np.float64], test: NDArray[np.float64]) -> NDArray[np.float64]:
    """A measure of both sides of the trials, [N] and [N] -> [N, 2]; the same when the sides change places."""
    return np.stack([np.minimum(enroll, test), np.maximum(enroll, test)], axis=1)


def log_durations(path: str | os.PathLike[str], models: Models) -> NDArray[np.float64]:
    """[M] natural logarithms of the models' durations, in the unit of this utt2num_frames or utt2dur.

    Raises: InputError for an utterance that has none, or one that is no number above 0.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file; it must tell how long the utterances are (steps/make_feats writes it)")
    table = read_table(path)
    missing = [utterance for utterance in models.utterances if utterance not in table]
    if missing:
        raise InputError(f"{path}: has no duration of {len(missing)} utterances ({first_names(missing)})")
    durations = np.array([number(table[utterance]) for utterance in models.utterances])
    sound = (durations > 0) & np.isfinite(durations)
    if not sound.all():
        utterance = models.utterances[int(np.argmin(sound))]
        raise InputError(f"{path}: {utterance!r} has the duration {table[utterance]!r}; it must be a number above 0")
    return np.log(np.add.reduceat(durations[models.members], models.starts[:-1]))


def number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def log_norms(directory: str | os.PathLike[str], models: Models) -> NDArray[np.float64]:
    """[M] natural logarithms of the mean Euclidean length of the models' embeddings; an utterance's crops count as one.

    Raises: as map_embeddings.
    """

    def norms(crops: NDArray[np.float32]) -> NDArray[np.float64]:
        lengths = np.linalg.norm(crops.astype(np.float64), axis=2)
        return np.where(lengths > 0, lengths, np.nan).mean(axis=1)  # what is not finite is refused by name

    return np.log(average_embeddings(directory, models, norms))


def cohort_cosines(
    directory: str | os.PathLike[str], models: Models, center: NDArray[np.float64]
) -> NDArray[np.float64]:
    """[M] the mean cosine of the models' embeddings with the speakers of the cohort of this `cohort_center` [D].

    Raises: as map_embeddings, and InputError for embeddings of another dimension.
    """

    def cosines(crops: NDArray[np.float32]) -> NDArray[np.float64]:
        if crops.shape[2] != len(center):
            raise InputError(
                f"{directory}: its embeddings have {crops.shape[2]} dimensions and those of the cohort {len(center)}; "
                "extract both with the same system"
            )
        return mean_direction(crops) @ center

    return average_embeddings(directory, models, cosines)


def leave_out(cohort: Cohort, compared: set[str]) -> Cohort:
    """The cohort without those members (speakers, where it has speakers) that have one of these utterances.

    Raises: InputError when no member is left.
    """
    models = cohort.models
    is_compared = np.array([utterance in compared for utterance in models.utterances])
    is_left = np.ones(len(models), dtype=bool)
    is_left[models.owners()[is_compared[models.members]]] = False
    if is_left.all():
        return cohort
    if not is_left.any():
        raise InputError(
            f"the cohort {cohort.directory}: each of its {len(cohort)} members has utterances of the trials; "
            "a cohort is of other speakers than the trials', give more training speakers"
        )
    return replace(cohort, models=models.select([models.names[row] for row in np.flatnonzero(is_left).tolist()]))


def cohort_center(cohort: Cohort) -> NDArray[np.float64]:
    """[D] the mean over the cohort's members of the mean of a member's embeddings, each made of length 1.

    Its dot product with an embedding of length 1 is the mean of that embedding's cosines with the members, where the
    cosine with a member is the mean of those with the member's utterances. Raises: as map_embeddings.
    """
    models = cohort.models
    shares = np.repeat(1 / (len(models) * models.num_utterances), models.num_utterances)
    weights = np.bincount(models.members, shares)  # of the utterances
    blocks = mapped_blocks(cohort.directory, models.utterances, mean_direction)
    return sum(weights[rows] @ directions for rows, directions in blocks)


def mean_direction(crops: NDArray[np.float32]) -> NDArray[np.float64]:
    """Crop embeddings [n, K, D] -> the mean of those of an utterance, each made of length 1, [n, D]."""
    return unit_length(crops).mean(axis=1, dtype=np.float64)
