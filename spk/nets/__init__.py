"""Embedding networks: features [N, T, F] -> embeddings [N, D]. One file a network; a config names it."""

from spk.nets import fast_resnet34  # noqa: F401 (importing a network registers it)
from spk.nets.registry import NETWORKS

__all__ = ["NETWORKS"]
