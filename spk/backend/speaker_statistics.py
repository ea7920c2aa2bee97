"""What LDA and PLDA need of the training embeddings: counts and means per speaker, and one scatter matrix."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A correlation matrix with a smaller eigenvalue is singular: float32 embeddings keep no more than seven digits.
LEAST_EIGENVALUE = 1e-10


@dataclass(frozen=True)
class SpeakerStatistics:
    """counts [S] of utterances, means [S, D] of speakers, scatter [D, D] = sum over utterances of (x - m)(x - m)'."""

    counts: NDArray[np.int64]
    means: NDArray[np.float64]
    scatter: NDArray[np.float64]

    @property
    def num_utterances(self) -> int:
        return int(self.counts.sum())

    @property
    def num_speakers(self) -> int:
        return len(self.counts)

    @property
    def dim(self) -> int:
        return len(self.scatter)

    @property
    def mean(self) -> NDArray[np.float64]:
        """[D], over utterances."""
        return self.counts @ self.means / self.num_utterances

    @property
    def within(self) -> NDArray[np.float64]:
        """Within-speaker covariance [D, D], divided by the number of utterances."""
        return self.scatter / self.num_utterances

    @property
    def between(self) -> NDArray[np.float64]:
        """Between-speaker covariance [D, D]: that of the utterances' speaker means."""
        centred = self.means - self.mean
        return (centred * self.counts[:, None]).T @ centred / self.num_utterances

    @property
    def total(self) -> NDArray[np.float64]:
        """Covariance of the utterances [D, D], divided by their number."""
        return self.within + self.between

    def mapped(self, mean: NDArray[np.float64], matrix: NDArray[np.float64]) -> SpeakerStatistics:
        """Those of matrix (x - mean), for a matrix [L, D]."""
        return SpeakerStatistics(self.counts, (self.means - mean) @ matrix.T, matrix @ self.scatter @ matrix.T)

    def speakers_vary(self) -> bool:
        """Whether some speaker's embeddings differ, by more than rounding."""
        return bool(np.trace(self.within) > LEAST_EIGENVALUE * np.trace(self.total))

    def within_is_singular(self) -> bool:
        """Whether embeddings of a speaker do not vary in some direction, whatever the scale of each dimension."""
        scale = np.sqrt(np.maximum(np.diag(self.scatter), 0.0))
        if self.num_utterances - self.num_speakers < self.dim or not self.speakers_vary() or not scale.all():
            return True
        return bool(np.linalg.eigvalsh(self.scatter / np.outer(scale, scale))[0] < LEAST_EIGENVALUE)


def speaker_statistics(
    blocks: Iterable[tuple[NDArray[np.int64], NDArray[np.floating]]], speakers: NDArray[np.int64]
) -> SpeakerStatistics:
    """Statistics of embeddings that come in blocks, so that they need never be in memory together.

    blocks: numbers [n] of utterances, and their embeddings [n, D]; every utterance comes once. speakers [N]: of each
    utterance, 0 ... S - 1, none without utterance. Sums are float64, about the first block's mean, which keeps their
    digits where embeddings are far from 0.
    """
    counts = np.bincount(speakers)
    origin = sums = squares = None
    for rows, values in blocks:
        if origin is None:
            origin = values.mean(axis=0, dtype=np.float64)
            sums, squares = np.zeros((len(counts), len(origin))), np.zeros((len(origin), len(origin)))
        centred = values - origin
        squares += centred.T @ centred
        order = np.argsort(speakers[rows], kind="stable")
        present, starts = np.unique(speakers[rows][order], return_index=True)
        sums[present] += np.add.reduceat(centred[order], starts, axis=0)
    means = sums / counts[:, None]
    return SpeakerStatistics(counts, means + origin, squares - sums.T @ means)
