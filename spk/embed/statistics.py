"""The embedding that needs no training: mean and standard deviation of the features over time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from spk.data.ark import FeatureReader
from spk.errors import InputError


def mean_and_deviation(features: NDArray[np.floating]) -> NDArray[np.float32]:
    """Features [T, F] -> [2F]: the means over time, then the standard deviations (divided by T)."""
    centred = features.astype(np.float64)
    mean = centred.mean(axis=0)
    centred -= mean
    variance = np.einsum("tf,tf->f", centred, centred) / len(centred)
    return np.concatenate([mean, np.sqrt(variance)]).astype(np.float32)


def statistics(reader: FeatureReader, progress: Callable[[int], object] = lambda count: None) -> NDArray[np.float32]:
    """`mean_and_deviation` of every utterance of `reader`, in its order: [U, 2F].

    Raises: InputError naming the utterance whose features are not finite.
    """
    embeddings = np.empty((len(reader), 2 * reader.dim), np.float32)
    for index in range(len(reader)):
        embeddings[index] = mean_and_deviation(reader.whole(index))
        progress(1)
    finite = np.isfinite(embeddings).all(axis=1)
    if not finite.all():
        count = np.count_nonzero(~finite)
        raise InputError(
            f"{reader.scp.path}: the features of {count} utterances are not finite, first "
            f"{reader.utterances[int(np.argmin(finite))]!r}; make the features again"
        )
    return embeddings
