"""Dynamic-additive-margin softmax: the further a sample is from its speaker, the larger its margin."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from spk.losses.loss import LOSSES
from spk.losses.margin_softmax import MarginSoftmax
from spk.losses.shard import Shard
from spk.schema import NOT_NEGATIVE, POSITIVE


@LOSSES.register("dam_softmax")
class DAMSoftmax(MarginSoftmax):
    """phi(cos) = cos - m_i with m_i = m e^{1 - cos} / lambda: eq. (7)-(10) of 'Dynamic Margin Softmax Loss'.

    With m = 0.2 and lambda = 2 the margin is 0.100 at cos = 1, 0.272 at 0 and 0.739 at -1. Eq. (9) read as written
    differentiates through m_i, so that phi has slope 1 + m_i; `detach_margin` treats m_i as a constant (slope 1), as
    some public code does. Units: the margin is a difference of cosines.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_speakers: int,
        margin: Annotated[float, NOT_NEGATIVE] = 0.2,
        control: Annotated[float, POSITIVE] = 2.0,
        scale: Annotated[float, POSITIVE] = 30.0,
        detach_margin: bool = False,
        shard: Shard | None = None,
    ) -> None:
        """`control` is the paper's lambda."""
        super().__init__(embedding_dim, num_speakers, scale, shard)
        self.margin = margin
        self.control = control
        self.detach_margin = detach_margin

    def add_margin(self, cosine: Tensor) -> Tensor:
        sample_margin = self.margin * torch.exp(1 - cosine) / self.control
        return cosine - (sample_margin.detach() if self.detach_margin else sample_margin)
