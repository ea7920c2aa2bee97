"""Prototypical loss: each speaker's last utterance against the means of the others."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from spk.losses.loss import LOSSES
from spk.losses.metric_loss import MetricLoss


@LOSSES.register("prototypical")
class Prototypical(MetricLoss):
    """L = -mean log softmax_k( -|x_jM - c_k|^2 )_j, c_k the mean of x_k1 .. x_k,M-1.

    Eq. (6)-(8) of 'In defence of metric learning'; Snell et al., NIPS 2017 (arXiv:1703.05175).
    Embeddings keep their length, so trials are scored by the Euclidean distance of unnormalised embeddings.
    """

    backend = {"name": "euclidean", "length_normalize": False}  # noqa: RUF012 (nobody changes it)

    def __init__(self, utterances_per_speaker: int) -> None:
        super().__init__(utterances_per_speaker)

    def metric(self, x_NMD: Tensor) -> Tensor:
        # Distances do not change with the origin; far from it, their terms would cancel one another in float32.
        x_NMD = x_NMD - x_NMD.mean(dim=(0, 1))
        query_ND, prototype_ND = x_NMD[:, -1], x_NMD[:, :-1].mean(dim=1)
        # |q|^2 is the same for all prototypes of a query, so the softmax does not need it.
        logits_NN = 2 * query_ND @ prototype_ND.T - prototype_ND.square().sum(dim=1)
        return F.cross_entropy(logits_NN, torch.arange(len(logits_NN), device=logits_NN.device))
