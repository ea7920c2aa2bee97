"""What processes that work on one batch together tell one another: sums, rows, flags.

A `Group` is handed to whoever needs one. For a process alone every call gives back what it was given, the same tensor.
The gradients follow from what the ranks' losses are parts of: a loss computed in parts, whose sum counts, or a loss of
which every rank computes the same whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class Group:
    """Processes 0..size-1, of which this one is `rank`. All of them make the same calls in the same order."""

    def __init__(self, tensors: dist.ProcessGroup | None = None, flags: dist.ProcessGroup | None = None) -> None:
        """`tensors` carries what lies on the training's device, `flags` what lies in main memory (None: the same one).

        Without either, this process alone.
        """
        self._tensors = tensors
        self._flags = flags if flags is not None else tensors
        self.rank = 0 if tensors is None else dist.get_rank(tensors)
        self.size = 1 if tensors is None else dist.get_world_size(tensors)

    def all_reduce_sum(self, x: Tensor) -> Tensor:
        """The sum of the ranks' x, of any one shape. The gradient is the sum of the ranks' gradients.

        So each rank's loss must be a part of the whole one: of a loss that all of them compute alike, x would get
        `size` times the gradient.
        """
        return x if self.size == 1 else SumOverRanks.apply(x, self._tensors)

    def gather_rows(self, x: Tensor, counts: Sequence[int], *, summed: bool = False) -> Tensor:
        """The rows of all ranks, in the order of ranks: x [counts[rank], ...] -> [sum of counts, ...].

        The gradient of x is its slice of the result's: as it is when all ranks compute the same whole loss of the rows,
        and summed over ranks (`summed`) when each computes a part of the loss.
        """
        if self.size == 1:
            return x
        return RowsOfRanks.apply(x, self._tensors, self.rank, tuple(counts), summed)

    def all_reduce_max(self, x: Tensor) -> Tensor:
        """The largest of the ranks' x, element by element, without a gradient."""
        if self.size == 1:
            return x.detach()
        largest = x.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(largest, dist.ReduceOp.MAX, group=self._tensors)
        return largest

    def add_up(self, x: Tensor) -> None:
        """Put the sum of the ranks' x in the place of x, a contiguous tensor without a gradient."""
        if self.size > 1:
            dist.all_reduce(x, group=self._tensors)

    def copy_from_first(self, x: Tensor) -> None:
        """Put what rank 0 holds in the place of x, a contiguous tensor without a gradient."""
        if self.size > 1:
            dist.broadcast(x, group=self._tensors, group_src=0)

    def largest(self, number: int) -> int:
        """The largest of the ranks' numbers."""
        if self.size == 1:
            return number
        held = torch.tensor(number)
        dist.all_reduce(held, dist.ReduceOp.MAX, group=self._flags)
        return int(held)

    def any_rank(self, flag: bool) -> bool:
        """Is the flag up on any rank?"""
        return self.largest(int(flag)) > 0

    def broadcast_object(self, value: Any, source: int = 0) -> Any:
        """What rank `source` holds; the others' values are not looked at. Anything that can be pickled."""
        if self.size == 1:
            return value
        held = [value]
        dist.broadcast_object_list(held, group=self._flags, group_src=source)
        return held[0]

    def gather_objects(self, value: Any) -> list[Any]:
        """What each rank holds. Anything that can be pickled."""
        if self.size == 1:
            return [value]
        held: list[Any] = [None] * self.size
        dist.all_gather_object(held, value, group=self._flags)
        return held


ALONE = Group()


class SumOverRanks(torch.autograd.Function):
    """y = sum_r x_r, and back dL/dx_r = sum_r' dL_r'/dy where L = sum_r' L_r'."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        return summed_over(x, group)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return summed_over(gradient, ctx.group), None


class RowsOfRanks(torch.autograd.Function):
    """All ranks' rows one after another; back to a rank goes its slice of the gradient, or of the gradients' sum."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, group: dist.ProcessGroup, rank: int, counts: tuple[int, ...], summed: bool
    ) -> Tensor:
        ctx.group, ctx.summed = group, summed
        ctx.first, ctx.count = sum(counts[:rank]), counts[rank]
        # Every process sends as many rows: gloo takes no others.
        sent = x.new_zeros((max(counts), *x.shape[1:]))
        sent[: len(x)] = x
        received = [torch.empty_like(sent) for _ in counts]
        dist.all_gather(received, sent, group=group)
        return torch.cat([rows[:count] for rows, count in zip(received, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        if ctx.summed:
            gradient = summed_over(gradient, ctx.group)
        return gradient[ctx.first : ctx.first + ctx.count], None, None, None, None


def summed_over(x: Tensor, group: dist.ProcessGroup) -> Tensor:
    total = x.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total, group=group)
    return total
