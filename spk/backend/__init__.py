"""From embeddings to scores: transforms that speakers teach, and how two embeddings are compared."""

from spk.backend import cosine, euclidean, plda_scoring  # noqa: F401 (importing a back-end registers it)
from spk.backend.registry import BACKENDS

__all__ = ["BACKENDS"]
