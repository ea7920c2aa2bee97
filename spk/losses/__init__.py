"""Training objectives: (embeddings [B, D], labels [B]) -> scalar. One file a loss; a config names it."""

from spk.losses import (  # noqa: F401 (importing a loss registers it)
    a_softmax,
    aam_softmax,
    am_softmax,
    angular_prototypical,
    contrastive,
    dam_softmax,
    ge2e,
    nsl,
    prototypical,
    softmax,
    sum,
    triplet,
)
from spk.losses.loss import LOSSES

__all__ = ["LOSSES"]
