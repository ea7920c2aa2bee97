"""What a back-end is trained on: the utterances of a data directory that have embeddings, and their speakers."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spk.backend.embedding_reader import embedding_scp, mapped_blocks_of
from spk.backend.speaker_statistics import SpeakerStatistics, speaker_statistics
from spk.data.ark import Scp
from spk.data.data_dir import read_table
from spk.data.name_lists import list_missing
from spk.errors import InputError

log = logging.getLogger(__name__)

Map = Callable[[NDArray[np.floating]], NDArray[np.floating]]


@dataclass(frozen=True)
class TrainingSet:
    """Utterances [N] of an embedding directory and the numbers of their `speakers` [N], 0 ... num_speakers - 1.

    `scp` says where the embeddings of the utterances lie.
    """

    embedding_dir: str
    scp: Scp
    speakers: NDArray[np.int64]
    num_missing: int = 0

    @property
    def utterances(self) -> list[str]:
        return self.scp.utterances

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

        return mapped_blocks_of(self.scp, self.embedding_dir, mapped)

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
    scp = Scp(embedding_scp(embedding_dir))
    place = dict(zip(scp.utterances, range(len(scp)), strict=True))
    utterances = [utterance for utterance in utt2spk if utterance in place]
    if not utterances:
        raise InputError(f"{embedding_dir} has no embedding of any utterance of {data}")
    missing = [utterance for utterance in utt2spk if utterance not in place]
    list_missing(missing_list, missing)
    names = [utt2spk[utterance] for utterance in utterances]
    number = {name: place for place, name in enumerate(sorted(set(names)))}
    speakers = np.array([number[name] for name in names])
    chosen = copy.copy(scp)
    rows = np.array([place[utterance] for utterance in utterances])
    chosen.utterances, chosen.path_ids, chosen.offsets = utterances, scp.path_ids[rows], scp.offsets[rows]
    return TrainingSet(os.fspath(embedding_dir), chosen, speakers, len(missing))


def unlabelled_set(embedding_dir: str | os.PathLike[str]) -> TrainingSet:
    """All utterances of a directory of embeddings, as if one speaker had spoken them: scatter is about their mean."""
    scp = Scp(embedding_scp(embedding_dir))
    if len(scp) < 2:
        raise InputError(f"{embedding_dir}: has {len(scp)} embeddings, which have no covariance; give more")
    return TrainingSet(os.fspath(embedding_dir), scp, np.zeros(len(scp), np.int64))
