"""Softmax cross-entropy over the training speakers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spk.losses.classifier import Classifier
from spk.losses.initial_rows import draw_unused
from spk.losses.loss import LOSSES
from spk.losses.shard import Shard, Targets


@LOSSES.register("softmax")
class Softmax(Classifier):
    """L = -mean log( e^{W_y x + b_y} / sum_j e^{W_j x + b_j} ): eq. (1) of 'Dynamic Margin Softmax Loss'.

    Shapes: embeddings [B, D], labels [B] in 0..C-1 -> scalar.
    """

    def __init__(self, embedding_dim: int, num_speakers: int, shard: Shard | None = None) -> None:
        super().__init__(embedding_dim, num_speakers, shard)
        first, last = self.rows
        draw_unused(num_speakers * (embedding_dim + 1))  # as many as a Linear draws, so that a seed's weights stay
        self.classifier = nn.Linear(embedding_dim, last - first, device="meta")
        self.classifier.weight = nn.Parameter(self.draw_weights())
        self.classifier.bias = nn.Parameter(torch.zeros(last - first))

    def row_parameters(self) -> dict[str, nn.Parameter]:
        return {"classifier.weight": self.classifier.weight, "classifier.bias": self.classifier.bias}

    def logits(self, embeddings: Tensor, targets: Targets, weight_KD: Tensor, bias_K: Tensor) -> Tensor:
        return F.linear(embeddings, weight_KD, bias_K)
