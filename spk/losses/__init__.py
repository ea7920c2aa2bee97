"""Training objectives: (embeddings [B, D], labels [B]) -> scalar. One file a loss; a config names it."""

from spk.losses import am_softmax, dam_softmax, softmax  # noqa: F401 (importing a loss registers it)
from spk.losses.loss import LOSSES

__all__ = ["LOSSES"]
