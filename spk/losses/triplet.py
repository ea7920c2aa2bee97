"""Triplet loss, with the negative of each anchor chosen at random, semi-hard, or among the hardest."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from torch import Tensor

from spk.losses.loss import LOSSES, unit
from spk.losses.metric_loss import MetricLoss
from spk.schema import FRACTION, POSITIVE, Range


@LOSSES.register("triplet")
class Triplet(MetricLoss):
    """L = mean relu(d+^2 - d-^2 + m) on embeddings of length 1: eq. (5) of 'In defence of metric learning'.

    The anchor is a speaker's first utterance, the positive its second; the negative is another speaker's second one:
    `random`: any of them; `semi_hard`: one with d+^2 < d-^2 < d+^2 + m where there is one, else any (Schroff et al.,
    FaceNet, CVPR 2015); `rank`: with `probability` one of the `hardest` share of them (rounded, at least
    one), else any.
    Curriculum hard negative mining raises `probability`. Which one is drawn comes from torch's generator.
    Units: the margin is a squared distance, at most 4.
    """

    utterances = Range(2, 2)

    def __init__(
        self,
        utterances_per_speaker: int,
        margin: Annotated[float, POSITIVE] = 0.2,
        mining: Literal["random", "semi_hard", "rank"] = "random",
        probability: Annotated[float, FRACTION] = 1.0,
        hardest: Annotated[float, FRACTION] = 0.01,
    ) -> None:
        super().__init__(utterances_per_speaker)
        self.margin = margin
        self.mining = mining
        self.probability = probability
        self.hardest = hardest

    @classmethod
    def fixed(cls, section: dict[str, Any]) -> tuple[str, ...]:
        return () if section["mining"] == "rank" else ("probability", "hardest")

    def metric(self, x_NMD: Tensor) -> Tensor:
        unit_NMD = unit(x_NMD)
        squares_NN = 2 - 2 * unit_NMD[:, 0] @ unit_NMD[:, 1].T
        negative_N1 = self.choose_negatives(squares_NN.detach())[:, None]
        return torch.relu(squares_NN.diagonal() - squares_NN.gather(1, negative_N1)[:, 0] + self.margin).mean()

    def choose_negatives(self, squares_NN: Tensor) -> Tensor:
        """The speaker [N] of each anchor's negative, from the squared distances [anchor, second utterance]."""
        own = torch.eye(len(squares_NN), dtype=torch.bool, device=squares_NN.device)
        allowed_NN = ~own
        if self.mining == "semi_hard":
            positive_N1 = squares_NN.diagonal()[:, None]
            semi_hard_NN = allowed_NN & (squares_NN > positive_N1) & (squares_NN < positive_N1 + self.margin)
            allowed_NN = torch.where(semi_hard_NN.any(dim=1, keepdim=True), semi_hard_NN, allowed_NN)
        elif self.mining == "rank":
            count = max(1, round(self.hardest * (len(squares_NN) - 1)))
            hardest = squares_NN.masked_fill(own, torch.inf).topk(count, dim=1, largest=False).indices
            hard_NN = torch.zeros_like(own).scatter(1, hardest, True)
            is_mined_N1 = torch.rand(len(squares_NN), 1, device=squares_NN.device) < self.probability
            allowed_NN = torch.where(is_mined_N1, hard_NN, allowed_NN)
        return torch.rand_like(squares_NN).masked_fill(~allowed_NN, -1).argmax(dim=1)
