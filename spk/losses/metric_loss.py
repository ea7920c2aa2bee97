"""Objectives that compare the utterances of a batch with one another; they have no weights for each speaker.

Letters: N speakers, M utterances of each, D dimensions.
"""

from __future__ import annotations

import abc

import torch
from torch import Tensor, nn

from spk.losses.loss import Loss
from spk.schema import Range


class MetricLoss(Loss):
    """Base of the metric learning objectives. The batch lies speaker by speaker: N groups of M utterances.

    A subclass writes `metric`, of the embeddings [N, M, D]; labels are not looked at.
    """

    utterances = Range(least=2)
    speakers = Range(least=2)

    def __init__(self, utterances_per_speaker: int) -> None:
        super().__init__()
        self.utterances_per_speaker = utterances_per_speaker

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        return self.metric(embeddings.reshape(-1, self.utterances_per_speaker, embeddings.shape[1]))

    @abc.abstractmethod
    def metric(self, x_NMD: Tensor) -> Tensor:
        """The objective of N speakers with M utterances each."""


class ScaledCosine(nn.Module):
    """Similarity w cos + b with learnt w > 0 and b: eq. (11) of 'In defence of metric learning'.

    The parameter is w - 1 / w: near w where w is large, yet however far below zero a step brings it, w stays above zero
    and keeps a gradient.
    """

    def __init__(self, scale: float, bias: float) -> None:
        super().__init__()
        self.raw_scale = nn.Parameter(torch.tensor(scale - 1 / scale))
        self.bias = nn.Parameter(torch.tensor(bias))

    @property
    def scale(self) -> Tensor:
        return torch.exp(torch.asinh(self.raw_scale / 2))

    def forward(self, cosine: Tensor) -> Tensor:
        return self.scale * cosine + self.bias
