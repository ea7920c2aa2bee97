"""Cosine scoring: the angle between two embeddings."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from spk.backend.length import unit_length
from spk.backend.registry import BACKENDS, PAIRS_PER_BLOCK, blocks_of_rows

# A block's two gathered matrices stay in the processor's cache at this size; larger blocks wait for memory.
VALUES_PER_BLOCK = 1 << 18


@BACKENDS.register("cosine")
class Cosine:
    """The mean of all K x K cosines between the crops of two utterances, in -1 ... 1.

    mean_kl <x_k, y_l> = <mean_k x_k, mean_l y_l> for crop embeddings x, y of length 1: the means of the normalised
    crops are kept, and a trial is one dot product. Whole utterances (K = 1) have their cosine. The score of a model of
    several utterances is the mean of all their cosines.
    """

    label = "cosine"

    def represent(self, crops: NDArray[np.float32]) -> NDArray[np.float32]:
        """[n, K, D] -> mean of the normalised crop embeddings, [n, D]."""
        return unit_length(crops).mean(axis=1)

    def score(
        self,
        enroll: NDArray[np.float32],
        test: NDArray[np.float32],
        enroll_index: NDArray[np.int64],
        test_index: NDArray[np.int64],
        num_utterances: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        return dot_products(enroll, test, enroll_index, test_index)

    def all_pairs(
        self,
        enroll: NDArray[np.float32],
        test: NDArray[np.float32],
        num_utterances: NDArray[np.int64] | None = None,
    ) -> Iterator[NDArray[np.float32]]:
        for rows in blocks_of_rows(len(enroll), len(test), PAIRS_PER_BLOCK):
            yield enroll[rows] @ test.T


def dot_products(
    enroll: NDArray[np.floating],
    test: NDArray[np.floating],
    enroll_index: NDArray[np.int64],
    test_index: NDArray[np.int64],
    values_per_block: int = VALUES_PER_BLOCK,
) -> NDArray[np.floating]:
    """[N] the dot products of rows enroll[enroll_index] and test[test_index] ([E, D], [T, D]), in their dtype.

    Memory beside inputs and result: 2 * values_per_block numbers. Only the products that trials ask for are computed:
    of all E x T the published lists ask for few (VoxCeleb1-O for 0.2 %), and then this is faster than matrix products.
    """
    scores = np.empty(len(enroll_index), np.result_type(enroll, test))
    for block in blocks_of_rows(len(scores), enroll.shape[1], values_per_block):
        np.einsum("nd,nd->n", enroll[enroll_index[block]], test[test_index[block]], out=scores[block])
    return scores
