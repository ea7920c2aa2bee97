"""The cohort of a score normalisation: utterances, or models of several, of speakers that are in no trial."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from spk.backend.embedding_reader import embedding_scp
from spk.backend.models import Models, read_models, utterances_alone
from spk.data.data_dir import first_names, read_table
from spk.errors import InputError


@dataclass(frozen=True)
class Cohort:
    """Its members are `models`, whose utterances have their embeddings in `directory`.

    `missing`: the utterances that have none there and take no part.
    """

    directory: str
    models: Models
    missing: list[str]

    def __len__(self) -> int:
        return len(self.models)


def read_cohort(directory: str | os.PathLike[str], models_path: str | os.PathLike[str] | None = None) -> Cohort:
    """All utterances of a directory of embeddings, or the models (usually speakers) of a spk2utt with embeddings there.

    Raises: InputError; as read_models.
    """
    utterances = list(read_table(embedding_scp(directory)))
    if models_path is None:
        return Cohort(os.fspath(directory), utterances_alone(utterances), [])
    models, embedded = read_models(models_path), set(utterances)
    is_absent = np.array([utterance not in embedded for utterance in models.utterances])
    if is_absent.all():
        raise InputError(f"{directory} has no embedding of any utterance of {models_path}")
    missing = [models.utterances[index] for index in np.flatnonzero(is_absent).tolist()]
    return Cohort(os.fspath(directory), models.without(is_absent) if missing else models, missing)


def refuse_shared_utterances(cohort: Cohort, compared: set[str]) -> None:
    """Raise InputError if an utterance of the cohort is among those that the trials compare."""
    shared = [utterance for utterance in cohort.models.utterances if utterance in compared]
    if shared:
        raise InputError(
            f"the cohort {cohort.directory} has {len(shared)} utterances of the trials ({first_names(shared)}); a "
            "cohort is of other speakers than the trials', give training speakers"
        )
