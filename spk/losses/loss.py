"""What all objectives share: their names, their signature, and float32."""

from __future__ import annotations

import abc

import torch
from torch import Tensor, nn

from spk.registry import Registry

LOSSES = Registry("loss", given=("embedding_dim", "num_speakers"))


class Loss(nn.Module, abc.ABC):
    """Base of the objectives: embeddings [B, D] and speaker labels [B] in 0..C-1 -> the scalar mean over the batch.

    A subclass writes `loss`. It always works in float32 (float64 stays), autocast off: in half precision a cosine of
    1 - 1e-4 rounds to 1.
    """

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(embeddings.device.type, enabled=False):
            full = embeddings if embeddings.dtype == torch.float64 else embeddings.float()
            return self.loss(full, labels)

    @abc.abstractmethod
    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The objective itself."""
