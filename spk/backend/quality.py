"""Quality measures of a trial: how long its utterances are, how large their embeddings, how near to other speakers.

Thienpondt et al., The IDLab VoxSRC-20 submission, ICASSP 2021 (arXiv:2010.11255): duration, magnitude of the embedding
and mean similarity to impostors are inputs of the calibration beside the score. Which side is called enrolment must not
matter: a measure enters as the smaller and the larger of its two values. Linear weights of these two are as good as
those of mean and absolute difference. A model of several utterances has the sum of their durations, the mean of the
magnitudes and the mean of the similarities.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spk.backend.embedding_reader import NUM_LISTED, embedding_scp
from spk.backend.length import unit_length
from spk.backend.models import Models, average_embeddings
from spk.data.data_dir import read_table
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
        some = ", ".join(missing[:NUM_LISTED]) + ", ..." * (len(missing) > NUM_LISTED)
        raise InputError(f"{path}: has no duration of {len(missing)} utterances ({some})")
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


def cohort_center(directory: str | os.PathLike[str], speakers: Models | None = None) -> NDArray[np.float64]:
    """[D] the mean over the cohort's speakers of the mean of a speaker's embeddings, each made of length 1.

    Its dot product with an embedding of length 1 is the mean of that embedding's cosines with the speakers, where the
    cosine with a speaker is the mean of those with the speaker's utterances. Without `speakers` every embedding in the
    directory is one.
    """
    if speakers is None:
        utterances = list(read_table(embedding_scp(directory)))
        count = len(utterances)
        speakers = Models(["all"], utterances, np.arange(count), np.array([0, count]))
    return average_embeddings(directory, speakers, mean_direction).mean(axis=0)


def mean_direction(crops: NDArray[np.float32]) -> NDArray[np.float64]:
    """Crop embeddings [n, K, D] -> the mean of those of an utterance, each made of length 1, [n, D]."""
    return unit_length(crops).mean(axis=1, dtype=np.float64)
