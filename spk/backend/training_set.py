"""What a back-end is trained on: the utterances of a data directory that have embeddings, and their speakers."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spk.backend.embedding_reader import embedding_scp, mapped_blocks
from spk.backend.speaker_statistics import SpeakerStatistics, speaker_statistics
from spk.data.data_dir import read_table
from spk.data.name_lists import list_missing
from spk.errors import InputError

log = logging.getLogger(__name__)

Map = Callable[[NDArray[np.floating]], NDArray[np.floating]]


@dataclass(frozen=True)
class TrainingSet:
    """`utterances` [N] of an embedding directory and the numbers of their `speakers` [N], 0 ... num_speakers - 1."""

    embedding_dir: str
    utterances: list[str]
    speakers: NDArray[np.int64]
    num_missing: int = 0

    @property
    def num_speakers(self) -> int:
        return int(self.speakers.max()) + 1

    def blocks(self, function: Map | None = None) -> Iterator[tuple[NDArray[np.int64], NDArray[np.floating]]]:
        """Numbers [n] of utterances and `function` of their embeddings [n, D]; of several crops' embeddings, the mean.

        `function` maps [n, D] to [n, L]. Raises: InputError naming the utterance where an embedding is not of use.
        """

        def mapped(crops: NDArray[np.float32]) -> NDArray[np.floating]:
            mean = crops.mean(axis=1)
            return mean if function is None else function(mean)

        return mapped_blocks(self.embedding_dir, self.utterances, mapped)

    def statistics(self, function: Map | None = None) -> SpeakerStatistics:
        """Statistics of `function` of the embeddings, which are read in blocks."""
        return speaker_statistics(self.blocks(function), self.speakers)


def read_training_set(
    data: str | os.PathLike[str], embedding_dir: str | os.PathLike[str], missing_list: Path
) -> TrainingSet:
    """The utterances of data/utt2spk that have an embedding; the others are counted and listed in `missing_list`.

    Raises: InputError if none has.
    """
    utt2spk = read_table(Path(data) / "utt2spk")
    embedded = read_table(embedding_scp(embedding_dir))
    utterances = [utterance for utterance in utt2spk if utterance in embedded]
    if not utterances:
        raise InputError(f"{embedding_dir} has no embedding of any utterance of {data}")
    missing = [utterance for utterance in utt2spk if utterance not in embedded]
    list_missing(missing_list, missing)
    speakers = np.unique([utt2spk[utterance] for utterance in utterances], return_inverse=True)[1]
    return TrainingSet(os.fspath(embedding_dir), utterances, speakers, len(missing))


def unlabelled_set(embedding_dir: str | os.PathLike[str]) -> TrainingSet:
    """All utterances of a directory of embeddings, as if one speaker had spoken them: scatter is about their mean."""
    utterances = list(read_table(embedding_scp(embedding_dir)))
    if len(utterances) < 2:
        raise InputError(f"{embedding_dir}: has {len(utterances)} embeddings, which have no covariance; give more")
    return TrainingSet(os.fspath(embedding_dir), utterances, np.zeros(len(utterances), np.int64))
