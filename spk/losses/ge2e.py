"""Generalised end-to-end loss: every utterance against every speaker's centroid."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from spk.losses.loss import LOSSES, unit
from spk.losses.metric_loss import MetricLoss, ScaledCosine
from spk.schema import POSITIVE


@LOSSES.register("ge2e")
class GE2E(MetricLoss):
    """Wan et al., ICASSP 2018 (arXiv:1710.10467); eq. (9)-(12) of 'In defence of metric learning'.

    S_ji,k = w cos(x_ji, c_k) + b, where c_k is the mean of speaker k's utterances, without x_ji itself for k = j.
    `softmax`: L = -mean log softmax_k(S_ji,k)_j. `contrast`: L = mean 1 - sigma(S_ji,j) + max_{k != j} sigma(S_ji,k).
    `scale` and `bias` are the values that w and b start from.
    """

    @classmethod
    def fixed(cls, section: dict[str, Any]) -> tuple[str, ...]:
        return ("scale", "bias")  # where w and b start

    def __init__(
        self,
        utterances_per_speaker: int,
        form: Literal["softmax", "contrast"] = "softmax",
        scale: Annotated[float, POSITIVE] = 10.0,
        bias: float = -5.0,
    ) -> None:
        super().__init__(utterances_per_speaker)
        self.form = form
        self.similarity = ScaledCosine(scale, bias)

    def metric(self, x_NMD: Tensor) -> Tensor:
        num_speakers, num_utterances, _ = x_NMD.shape
        sum_N1D = x_NMD.sum(dim=1, keepdim=True)
        query_NMD = unit(x_NMD)
        cosine_NMN = query_NMD @ unit(sum_N1D[:, 0]).T
        own_NM = (query_NMD * unit(sum_N1D - x_NMD)).sum(dim=2)
        is_own = torch.eye(num_speakers, dtype=torch.bool, device=x_NMD.device)[:, None, :]
        similarity_NMN = self.similarity(torch.where(is_own, own_NM[:, :, None], cosine_NMN))
        if self.form == "contrast":
            probability_NMN = torch.sigmoid(similarity_NMN)
            own_NM = probability_NMN.diagonal(dim1=0, dim2=2).T
            return (1 - own_NM + probability_NMN.masked_fill(is_own, 0).amax(dim=2)).mean()
        labels_NM = torch.arange(num_speakers, device=x_NMD.device)[:, None].expand(-1, num_utterances)
        return F.cross_entropy(similarity_NMN.flatten(0, 1), labels_NM.flatten())
