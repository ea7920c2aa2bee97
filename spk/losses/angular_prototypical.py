"""Angular prototypical loss: the prototypical loss with scaled cosines."""

from __future__ import annotations

from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from spk.losses.loss import LOSSES, unit
from spk.losses.metric_loss import MetricLoss, ScaledCosine
from spk.schema import POSITIVE


@LOSSES.register("angular_prototypical")
class AngularPrototypical(MetricLoss):
    """L = -mean log softmax_k( w cos(x_jM, c_k) + b )_j, c_k the mean of x_k1 .. x_k,M-1.

    Eq. (6) and (13) of 'In defence of metric learning'; w and b are learnt.
    `scale` and `bias` are the values that w and b start from.
    """

    @classmethod
    def fixed(cls, section: dict[str, Any]) -> tuple[str, ...]:
        return ("scale", "bias")  # where w and b start

    def __init__(
        self, utterances_per_speaker: int, scale: Annotated[float, POSITIVE] = 10.0, bias: float = -5.0
    ) -> None:
        super().__init__(utterances_per_speaker)
        self.similarity = ScaledCosine(scale, bias)

    def metric(self, x_NMD: Tensor) -> Tensor:
        query_ND, prototype_ND = unit(x_NMD[:, -1]), unit(x_NMD[:, :-1].mean(dim=1))
        logits_NN = self.similarity(query_ND @ prototype_ND.T)
        return F.cross_entropy(logits_NN, torch.arange(len(logits_NN), device=logits_NN.device))
