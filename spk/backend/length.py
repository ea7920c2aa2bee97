"""Length normalisation: embeddings as directions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def unit_length(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    """[..., D] divided by their Euclidean length; a vector of length 0 becomes NaN."""
    lengths = np.sqrt(np.einsum("...d,...d->...", vectors, vectors, dtype=np.float64))
    return vectors / lengths[..., None].astype(vectors.dtype)
