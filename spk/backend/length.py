"""Length normalisation: embeddings as directions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def unit_length(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    """[..., D] divided by their Euclidean length; a vector of length 0 becomes NaN."""
    lengths = np.sqrt(np.einsum("...d,...d->...", vectors, vectors, dtype=np.float64))
    return vectors / lengths[..., None].astype(vectors.dtype)


def length_sqrt_dim(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    """[..., D] scaled to Euclidean length sqrt(D), Kaldi's ivector-normalize-length; one of length 0 becomes NaN."""
    return unit_length(vectors) * np.sqrt(vectors.shape[-1]).astype(vectors.dtype)
