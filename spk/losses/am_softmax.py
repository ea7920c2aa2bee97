"""Additive-margin softmax."""

from __future__ import annotations

from typing import Annotated

from torch import Tensor

from spk.losses.loss import LOSSES
from spk.losses.margin_softmax import MarginSoftmax
from spk.losses.shard import Shard
from spk.schema import NOT_NEGATIVE, POSITIVE


@LOSSES.register("am_softmax")
class AMSoftmax(MarginSoftmax):
    """phi(cos) = cos - m: eq. (5)-(6) of 'Dynamic Margin Softmax Loss', eq. (3) of 'In defence of metric learning'.

    Units: the margin is a difference of cosines.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_speakers: int,
        margin: Annotated[float, NOT_NEGATIVE] = 0.2,
        scale: Annotated[float, POSITIVE] = 30.0,
        shard: Shard | None = None,
    ) -> None:
        super().__init__(embedding_dim, num_speakers, scale, shard)
        self.margin = margin

    def add_margin(self, cosine: Tensor) -> Tensor:
        return cosine - self.margin
