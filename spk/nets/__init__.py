"""Embedding networks: features [N, T, F] -> embeddings [N, D]. One file a network; a config names it."""

from spk.nets.registry import NETWORKS
from spk.registry import import_files

__all__ = ["NETWORKS"]

import_files(__name__, __path__)
