"""Softmax cross-entropy over the training speakers."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from spk.losses.loss import LOSSES, Loss


@LOSSES.register("softmax")
class Softmax(Loss):
    """L = -mean log( e^{W_y x + b_y} / sum_j e^{W_j x + b_j} ): eq. (1) of 'Dynamic Margin Softmax Loss'.

    Shapes: embeddings [B, D], labels [B] in 0..C-1 -> scalar.
    """

    def __init__(self, embedding_dim: int, num_speakers: int) -> None:
        super().__init__()
        self.classifier = nn.Linear(embedding_dim, num_speakers)
        nn.init.xavier_normal_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(self.classifier(embeddings), labels)
