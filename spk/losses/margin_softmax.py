"""Softmax over scaled cosines whose target cosine a margin lowers: the shared part of the additive-margin losses."""

from __future__ import annotations

import abc

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spk.losses.loss import Loss, unit


class MarginSoftmax(Loss):
    """L = -mean log( e^{s phi(cos_y)} / (e^{s phi(cos_y)} + sum_{j != y} e^{s cos_j}) ), cos_j between x and W_j.

    A subclass gives phi as `add_margin`. Shapes: embeddings [B, D], labels [B] in 0..C-1 -> scalar.
    """

    def __init__(self, embedding_dim: int, num_speakers: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.weight_CD = nn.Parameter(torch.empty(num_speakers, embedding_dim))
        nn.init.xavier_normal_(self.weight_CD)

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        cosine_BC = F.linear(unit(embeddings), unit(self.weight_CD))
        target_B1 = cosine_BC.gather(1, labels[:, None])
        logits_BC = self.scale * cosine_BC.scatter(1, labels[:, None], self.add_margin(target_B1))
        return F.cross_entropy(logits_BC, labels)

    @abc.abstractmethod
    def add_margin(self, cosine: Tensor) -> Tensor:
        """phi: what replaces the target's cosine."""
