"""Additive-angular-margin softmax."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from spk.losses.loss import LOSSES
from spk.losses.margin_softmax import MarginSoftmax
from spk.losses.shard import Shard
from spk.schema import POSITIVE, Range

LEAST_SQUARED_SINE = 1e-7  # float32 resolves no smaller one; the slope of the root is infinite at 0


@LOSSES.register("aam_softmax")
class AAMSoftmax(MarginSoftmax):
    """phi(cos theta) = cos(theta + m): eq. (3) of Deng et al., ArcFace, CVPR 2019 (arXiv:1801.07698).

    Eq. (4) of 'In defence of metric learning'. Where theta + m > pi, cos(theta + m) would rise with the angle again;
    there phi = cos - m sin m.
    Units: the margin in radians.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_speakers: int,
        margin: Annotated[float, Range(0, math.pi / 2)] = 0.2,
        scale: Annotated[float, POSITIVE] = 30.0,
        shard: Shard | None = None,
    ) -> None:
        super().__init__(embedding_dim, num_speakers, scale, shard)
        self.margin = margin

    def add_margin(self, cosine: Tensor) -> Tensor:
        sine = (1 - cosine.square()).clamp_min(LEAST_SQUARED_SINE).sqrt()
        shifted = cosine * math.cos(self.margin) - sine * math.sin(self.margin)
        beyond_pi = cosine < -math.cos(self.margin)
        return torch.where(beyond_pi, cosine - self.margin * math.sin(self.margin), shifted)
