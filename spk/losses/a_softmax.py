"""Angular softmax: the target's angle is multiplied."""

from __future__ import annotations

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spk.losses.loss import LOSSES, Loss, unit
from spk.schema import AT_LEAST_ONE, NOT_NEGATIVE


@LOSSES.register("a_softmax")
class ASoftmax(Loss):
    """A-softmax: eq. (3)-(4) of 'Dynamic Margin Softmax Loss'; Liu et al., SphereFace, CVPR 2017 (arXiv:1704.08063).

    L = -mean log( e^{|x| psi(theta_y)} / (e^{|x| psi(theta_y)} + sum_{j != y} e^{|x| cos theta_j}) ),
    psi(theta) = (-1)^k cos(m theta) - 2 k for theta in [k pi / m, (k + 1) pi / m].

    With `annealing` lambda > 0 the target's logit is |x| (lambda cos + psi) / (1 + lambda): psi alone hardly learns
    from scratch, so lambda starts high and falls (a curriculum of the config).
    Shapes: embeddings [B, D], labels [B] in 0..C-1 -> scalar.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_speakers: int,
        margin: Annotated[int, AT_LEAST_ONE] = 4,
        annealing: Annotated[float, NOT_NEGATIVE] = 0.0,
    ) -> None:
        """`margin` is m, by which the angle is multiplied."""
        super().__init__()
        self.margin = margin
        self.annealing = annealing
        self.weight_CD = nn.Parameter(torch.empty(num_speakers, embedding_dim))
        nn.init.xavier_normal_(self.weight_CD)

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        cosine_BC = F.linear(unit(embeddings), unit(self.weight_CD))
        target_B1 = cosine_BC.gather(1, labels[:, None])
        mixed_B1 = (self.annealing * target_B1 + self.psi(target_B1)) / (1 + self.annealing)
        logits_BC = embeddings.norm(dim=1, keepdim=True) * cosine_BC.scatter(1, labels[:, None], mixed_B1)
        return F.cross_entropy(logits_BC, labels)

    def psi(self, cosine: Tensor) -> Tensor:
        """psi of cos(theta). cos(m theta) as a Chebyshev polynomial of cos(theta) has a finite slope everywhere."""
        before, multiple = torch.ones_like(cosine), cosine
        for _ in range(self.margin - 1):
            before, multiple = multiple, 2 * cosine * multiple - before
        ends = [math.cos(j * math.pi / self.margin) for j in range(1, self.margin)]
        k = (cosine[..., None] < cosine.new_tensor(ends)).sum(dim=-1)
        return (1 - 2 * (k % 2)) * multiple - 2 * k
