"""A classifier whose speakers are shared out to processes, and softmax cross-entropy over all of them.

Each process holds the weights of its own speakers and works out their logits for the whole batch. What processes tell
one another is three numbers for each sample, and the gradient of the embeddings: Deng et al., ArcFace, section 3.3 of
arXiv:1801.07698v4; An et al., Partial FC (arXiv:2203.15565).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from spk.collectives import Group

Targets = tuple[Tensor, Tensor]  # samples [N] whose speaker is among the rows in use, and its row [N]


@dataclass(frozen=True)
class Shard:
    """The speakers of this process: [first, last) of all, contiguous, shares that differ by at most one."""

    num_speakers: int
    group: Group

    @property
    def first(self) -> int:
        return self.num_speakers * self.group.rank // self.group.size

    @property
    def last(self) -> int:
        return self.num_speakers * (self.group.rank + 1) // self.group.size

    def own(self, labels: Tensor) -> Tensor:
        """Labels [B] of all speakers as those of this process, -1 for another's."""
        return torch.where((labels >= self.first) & (labels < self.last), labels - self.first, -1)

    def __deepcopy__(self, memo: dict[int, Any]) -> Shard:
        return self  # processes are not copied


class SharedInput(torch.autograd.Function):
    """What all processes hold alike and use for a part of the whole each: its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: Group) -> Tensor:
        ctx.group = group
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.group.all_reduce_sum(gradient.contiguous()), None


class ShardedCrossEntropy(torch.autograd.Function):
    """Mean over the batch of log sum_j e^{l_j} - l_y, j over the speakers of all processes; the same value on each.

    Shapes: logits [B, K] of this process's speakers, which may be none; targets as in Targets -> scalar. The gradient
    of its own logits needs no other process: softmax - 1 for the target, softmax for the others, over B.
    """

    @staticmethod
    def forward(ctx: Any, logits_BK: Tensor, targets: Targets, group: Group) -> Tensor:
        part_B = torch.logsumexp(logits_BK, dim=1)  # -inf without speakers
        highest_B = group.all_reduce_max(part_B)
        target_B = torch.zeros_like(part_B).index_put((targets[0],), logits_BK[targets])
        sum_B, target_B = group.all_reduce_sum(torch.stack([torch.exp(part_B - highest_B), target_B]))
        whole_B = highest_B + sum_B.log()
        ctx.save_for_backward(logits_BK, whole_B, *targets)
        return (whole_B - target_B).mean()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        logits_BK, whole_B, *targets = ctx.saved_tensors
        share_BK = torch.exp(logits_BK - whole_B[:, None])
        share_BK[tuple(targets)] -= 1
        return share_BK.mul_(gradient / len(whole_B)), None, None
