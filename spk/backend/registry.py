"""The table of back-ends: how two embeddings are compared. `steps/score --backend NAME` chooses one."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spk.registry import Registry

# What the program reads from a trained back-end's directory (spk/backend/plda_scoring.py) is no config's to set.
BACKENDS = Registry("back-end", given=("plda", "scale_lengths"))


class Backend(Protocol):
    """A back-end represents every utterance once and then compares representations at the positions of the trials.

    A model of several utterances is the mean of their representations. `label` is what tables call the back-end.
    `num_utterances` [E] says how many utterances each row of `enroll` is the mean of; None: one each. With one
    utterance on both sides the score does not depend on which of them enrols.
    """

    label: str

    def represent(self, crops: NDArray[np.float32]) -> NDArray[np.floating]:
        """Crop embeddings [n, K, D] of some utterances -> what is kept of them, [n, ...]."""

    def score(
        self,
        enroll: NDArray[np.floating],
        test: NDArray[np.floating],
        enroll_index: NDArray[np.int64],
        test_index: NDArray[np.int64],
        num_utterances: NDArray[np.int64] | None = None,
    ) -> NDArray[np.floating]:
        """Scores [N] of enroll[enroll_index] against test[test_index]; higher favours the same speaker."""

    def all_pairs(
        self,
        enroll: NDArray[np.floating],
        test: NDArray[np.floating],
        num_utterances: NDArray[np.int64] | None = None,
    ) -> Iterator[NDArray[np.floating]]:
        """Scores [n, T] of the next n rows of `enroll` against every row of `test`, block by block.

        A block belongs to the caller, who may change it; it has about PAIRS_PER_BLOCK values, and at least one row.
        """


PAIRS_PER_BLOCK = 1 << 21


def blocks_of_rows(num_rows: int, values_per_row: int, values_per_block: int) -> Iterator[slice]:
    """Slices that cover `num_rows`, each with at most `values_per_block` values but at least one row."""
    size = max(1, values_per_block // max(1, values_per_row))
    return (slice(first, min(first + size, num_rows)) for first in range(0, num_rows, size))


def backend_while_training(section: Mapping[str, Any]) -> Mapping[str, Any]:
    """`section`, or cosine where that back-end is itself trained, on embeddings of the finished network (PLDA)."""
    is_trained = not inspect.signature(BACKENDS[section["name"]]).parameters.keys().isdisjoint(BACKENDS.given)
    return {"name": "cosine"} if is_trained else section
