"""Objectives that compare the utterances of a batch with one another; they have no weights for each speaker.

Letters: N speakers, M utterances of each, D dimensions.
"""

from __future__ import annotations

import abc

import torch
import torch.nn.functional as F
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

    w is the softplus of the parameter: within 5e-5 of it at the usual start of 10, yet never zero or below, and never
    without a gradient.
    """

    def __init__(self, scale: float, bias: float) -> None:
        super().__init__()
        start = torch.tensor(scale)
        self.raw_scale = nn.Parameter(start + torch.log(-torch.expm1(-start)))
        self.bias = nn.Parameter(torch.tensor(bias))

    @property
    def scale(self) -> Tensor:
        return F.softplus(self.raw_scale)

    def forward(self, cosine: Tensor) -> Tensor:
        return self.scale * cosine + self.bias
