"""Training objectives: (embeddings [B, D], labels [B]) -> scalar. One file a loss; a config names it."""

from spk.losses.loss import LOSSES
from spk.registry import import_files

__all__ = ["LOSSES"]

import_files(__name__, __path__)
