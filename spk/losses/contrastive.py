"""Contrastive loss over pairs of utterances."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor

from spk.losses.loss import LOSSES, unit
from spk.losses.metric_loss import MetricLoss
from spk.schema import POSITIVE, Range

LEAST_SQUARED_DISTANCE = 1e-7  # float32 resolves no smaller one; the slope of the root is infinite at 0


@LOSSES.register("contrastive")
class Contrastive(MetricLoss):
    """L = (mean of d+^2 + mean of relu(m - d-)^2) / 2: Chopra, Hadsell, LeCun, CVPR 2005, on embeddings of length 1.

    d+ are the distances of the N pairs of one speaker, d- those of the N (N - 1) pairs of a first and a second
    utterance of different speakers. Both kinds weigh the same, or the negative pairs would drown the others in large
    batches. The papers' systems start from a softmax system (`init_from`). Units: the margin is a distance, at most 2.
    """

    utterances = Range(2, 2)

    def __init__(self, utterances_per_speaker: int, margin: Annotated[float, POSITIVE] = 1.0) -> None:
        super().__init__(utterances_per_speaker)
        self.margin = margin

    def metric(self, x_NMD: Tensor) -> Tensor:
        unit_NMD = unit(x_NMD)
        squares_NN = 2 - 2 * unit_NMD[:, 0] @ unit_NMD[:, 1].T
        num_speakers = len(squares_NN)
        distance_NN = squares_NN.clamp_min(LEAST_SQUARED_DISTANCE).sqrt()
        different = ~torch.eye(num_speakers, dtype=torch.bool, device=x_NMD.device)
        shortfalls_NN = torch.relu(self.margin - distance_NN).square() * different
        return (squares_NN.diagonal().mean() + shortfalls_NN.sum() / (num_speakers * (num_speakers - 1))) / 2
