"""Euclidean scoring: minus the distance between two embeddings."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from spk.backend.length import unit_length
from spk.backend.registry import BACKENDS, PAIRS_PER_BLOCK, blocks_of_rows

VALUES_PER_BLOCK = 1 << 17


@BACKENDS.register("euclidean")
class Euclidean:
    """Minus the mean of all K x K distances between the crops of two utterances.

    With length_normalize (the default) as in the code published with Chung et al., In defence of metric learning for
    speaker recognition, 2020; without it, as the prototypical loss measures distances. A model of several utterances is
    their prototype: crop k is the mean of their crops k.
    """

    def __init__(self, length_normalize: bool = True) -> None:
        self.length_normalize = length_normalize
        self.label = "euclidean" if length_normalize else "raw_euclidean"

    def represent(self, crops: NDArray[np.float32]) -> NDArray[np.float32]:
        """[n, K, D], normalised crop by crop if so asked."""
        return unit_length(crops) if self.length_normalize else crops

    def score(
        self,
        enroll: NDArray[np.float32],
        test: NDArray[np.float32],
        enroll_index: NDArray[np.int64],
        test_index: NDArray[np.int64],
        num_utterances: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float64]:
        """|x - y|^2 = |x|^2 + |y|^2 - 2 <x, y>, in float64: in float32 the difference of like vectors would drown."""
        scores = np.empty(len(enroll_index), np.float64)
        for block in blocks_of_rows(len(scores), enroll.shape[1] * enroll.shape[2], VALUES_PER_BLOCK):
            x, y = enroll[enroll_index[block]].astype(np.float64), test[test_index[block]].astype(np.float64)
            squares_x, squares_y = np.einsum("nkd,nkd->nk", x, x), np.einsum("nkd,nkd->nk", y, y)
            squares = squares_x[:, :, None] + squares_y[:, None, :] - 2 * x @ y.transpose(0, 2, 1)
            scores[block] = -np.sqrt(np.maximum(squares, 0)).mean(axis=(1, 2))
        return scores

    def all_pairs(
        self,
        enroll: NDArray[np.float32],
        test: NDArray[np.float32],
        num_utterances: NDArray[np.int64] | None = None,
    ) -> Iterator[NDArray[np.float64]]:
        crops, dim = enroll.shape[1:]
        y = test.astype(np.float64).reshape(-1, dim)
        squares_y = np.einsum("nd,nd->n", y, y)
        for rows in blocks_of_rows(len(enroll), crops * len(y), PAIRS_PER_BLOCK):
            x = enroll[rows].astype(np.float64).reshape(-1, dim)
            squares = x @ y.T
            squares *= -2
            squares += np.einsum("nd,nd->n", x, x)[:, None]
            squares += squares_y
            distances = np.sqrt(np.maximum(squares, 0, out=squares), out=squares)
            yield -distances.reshape(-1, crops, len(test), crops).mean(axis=(1, 3))
