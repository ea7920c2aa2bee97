"""Features of many utterances in blocks that fit in memory: whole utterances, one after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from spk.data.ark import FeatureReader, where
from spk.errors import InputError

BLOCK_FRAMES = 100_000


@dataclass(frozen=True)
class FeatureBlock:
    """`frames` [T, F] float32: of the reader's utterances `indices` [U], utterance u having num_frames[u] of them."""

    indices: np.ndarray
    num_frames: np.ndarray
    frames: np.ndarray


def feature_blocks(
    reader: FeatureReader, indices: Sequence[int] | np.ndarray, most_frames: int
) -> Iterator[FeatureBlock]:
    """The utterances `indices` in blocks of at most `most_frames` frames, or of one utterance that has more.

    Raises: InputError naming the utterance whose features are not finite.
    """
    waiting: list[np.ndarray] = []
    start = total = 0
    for position, index in enumerate(indices):
        features = reader.whole(int(index))
        if not np.isfinite(features).all():
            raise InputError(f"{where(reader.scp, int(index))}: its features are not finite; make the features again")
        if waiting and total + len(features) > most_frames:
            yield joined(waiting, indices[start:position])
            waiting, start, total = [], position, 0
        waiting.append(features)
        total += len(features)
    if waiting:
        yield joined(waiting, indices[start:])


def joined(features: list[np.ndarray], indices: Sequence[int] | np.ndarray) -> FeatureBlock:
    num_frames = np.array([len(matrix) for matrix in features], np.int64)
    return FeatureBlock(np.asarray(indices, np.int64), num_frames, np.concatenate(features))
