"""Normalised softmax: scaled cosines without a margin."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from spk.losses.loss import LOSSES
from spk.losses.margin_softmax import MarginSoftmax
from spk.losses.shard import Shard
from spk.schema import POSITIVE


@LOSSES.register("nsl")
class NormalizedSoftmax(MarginSoftmax):
    """phi(cos) = cos: softmax over s cos(theta_j), weights and embeddings of length 1 (Wang et al., NormFace, 2017)."""

    def __init__(
        self,
        embedding_dim: int,
        num_speakers: int,
        scale: Annotated[float, POSITIVE] = 30.0,
        shard: Shard | None = None,
    ) -> None:
        super().__init__(embedding_dim, num_speakers, scale, shard)

    def add_margin(self, cosine: Tensor) -> Tensor:
        return cosine
