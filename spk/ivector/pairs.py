"""Pairs of a frame and one of its Gaussians, grouped by Gaussian, so that each group is one matrix product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

MOST_INT16 = 1 << 15  # 16-bit numbers sort several times faster


@dataclass(frozen=True)
class Pairs:
    """`order` [P]: places in the flattened index, by Gaussian and in each by frame; `frame` [P]: the frame of each.

    The pairs of the Gaussian gaussians[k] are those from bounds[k] to bounds[k + 1].
    """

    order: Tensor
    frame: Tensor
    gaussians: list[int]
    bounds: list[int]

    def __iter__(self) -> Iterator[tuple[int, slice]]:
        """(Gaussian, its slice of the pairs) for every Gaussian that has any."""
        for gaussian, start, end in zip(self.gaussians, self.bounds, self.bounds[1:], strict=False):
            yield gaussian, slice(start, end)


def pairs_by_gaussian(index: Tensor, num_gaussians: int, keep: Tensor | None = None) -> Pairs:
    """The pairs of index [T, n], which names the Gaussians of every frame; `keep` [T, n] bool: only these."""
    flat = index.reshape(-1)
    kept = None if keep is None else keep.reshape(-1).nonzero()[:, 0]
    if kept is not None:
        flat = flat[kept]
    sortable = flat.to(torch.int16) if num_gaussians <= MOST_INT16 else flat
    order = sortable.sort(stable=True).indices
    counts = torch.bincount(flat, minlength=num_gaussians)
    gaussians = counts.nonzero()[:, 0]
    bounds = [0, *counts[gaussians].cumsum(0).tolist()]
    order = order if kept is None else kept[order]
    return Pairs(order, order // index.shape[1], gaussians.tolist(), bounds)
