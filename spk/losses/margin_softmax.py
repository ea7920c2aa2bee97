"""Softmax over scaled cosines whose target cosine a margin lowers: the shared part of the additive-margin losses."""

from __future__ import annotations

import abc

import torch.nn.functional as F
from torch import Tensor, nn

from spk.losses.classifier import Classifier
from spk.losses.loss import unit
from spk.losses.shard import Shard, Targets


class MarginSoftmax(Classifier):
    """L = -mean log( e^{s phi(cos_y)} / (e^{s phi(cos_y)} + sum_{j != y} e^{s cos_j}) ), cos_j between x and W_j.

    A subclass gives phi as `add_margin`. Shapes: embeddings [B, D], labels [B] in 0..C-1 -> scalar.
    """

    on_cosines = True

    def __init__(self, embedding_dim: int, num_speakers: int, scale: float, shard: Shard | None = None) -> None:
        super().__init__(embedding_dim, num_speakers, shard)
        self.scale = scale
        self.weight_CD = nn.Parameter(self.draw_weights())

    def row_parameters(self) -> dict[str, nn.Parameter]:
        return {"weight_CD": self.weight_CD}

    def logits(self, embeddings: Tensor, targets: Targets, weight_KD: Tensor) -> Tensor:
        cosine_BK = F.linear(unit(embeddings), unit(weight_KD))
        return self.scale * self.change_targets(cosine_BK, targets, self.add_margin)

    @abc.abstractmethod
    def add_margin(self, cosine: Tensor) -> Tensor:
        """phi: what replaces the target's cosine."""
