"""The table of back-ends: how two embeddings are compared. `steps/score --backend NAME` chooses one."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from spk.registry import Registry

BACKENDS = Registry("back-end")


class Backend(Protocol):
    """A back-end represents every utterance once and then compares representations at the positions of the trials.

    `label` is what tables call it.
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
    ) -> NDArray[np.floating]:
        """Scores [N] of enroll[enroll_index] against test[test_index]; higher favours the same speaker."""
