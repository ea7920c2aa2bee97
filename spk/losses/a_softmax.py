"""Angular softmax: the target's angle is multiplied."""

from __future__ import annotations

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spk.losses.classifier import Classifier
from spk.losses.loss import LOSSES, unit
from spk.losses.shard import Shard, Targets
from spk.schema import AT_LEAST_ONE, NOT_NEGATIVE


@LOSSES.register("a_softmax")
class ASoftmax(Classifier):
    """A-softmax: eq. (3)-(4) of 'Dynamic Margin Softmax Loss'; Liu et al., SphereFace, CVPR 2017 (arXiv:1704.08063).

    L = -mean log( e^{|x| psi(theta_y)} / (e^{|x| psi(theta_y)} + sum_{j != y} e^{|x| cos theta_j}) ),
    psi(theta) = (-1)^k cos(m theta) - 2 k for theta in [k pi / m, (k + 1) pi / m].

    With `annealing` lambda > 0 the target's logit is |x| (lambda cos + psi) / (1 + lambda): psi alone hardly learns
    from scratch, so lambda starts high and falls (a curriculum of the config).
    Shapes: embeddings [B, D], labels [B] in 0..C-1 -> scalar.
    """

    on_cosines = True

    def __init__(
        self,
        embedding_dim: int,
        num_speakers: int,
        margin: Annotated[int, AT_LEAST_ONE] = 4,
        annealing: Annotated[float, NOT_NEGATIVE] = 0.0,
        shard: Shard | None = None,
    ) -> None:
        """`margin` is m, by which the angle is multiplied."""
        super().__init__(embedding_dim, num_speakers, shard)
        self.margin = margin
        self.annealing = annealing
        self.weight_CD = nn.Parameter(self.draw_weights())

    def row_parameters(self) -> dict[str, nn.Parameter]:
        return {"weight_CD": self.weight_CD}

    def logits(self, embeddings: Tensor, targets: Targets, weight_KD: Tensor) -> Tensor:
        cosine_BK = F.linear(unit(embeddings), unit(weight_KD))
        return embeddings.norm(dim=1, keepdim=True) * self.change_targets(cosine_BK, targets, self.mixed)

    def mixed(self, cosine: Tensor) -> Tensor:
        return (self.annealing * cosine + self.psi(cosine)) / (1 + self.annealing)

    def psi(self, cosine: Tensor) -> Tensor:
        """psi of cos(theta). cos(m theta) as a Chebyshev polynomial of cos(theta) has a finite slope everywhere."""
        before, multiple = torch.ones_like(cosine), cosine
        for _ in range(self.margin - 1):
            before, multiple = multiple, 2 * cosine * multiple - before
        ends = [math.cos(j * math.pi / self.margin) for j in range(1, self.margin)]
        k = (cosine[..., None] < cosine.new_tensor(ends)).sum(dim=-1)
        return (1 - 2 * (k % 2)) * multiple - 2 * k
