"""Differences over time beside the features: Kaldi's add-deltas."""

from __future__ import annotations

import torch
from torch import Tensor

from spk.feats.segments import bounds_of_frames


def delta_filters(window: int, order: int) -> list[Tensor]:
    """For the orders 0 to `order`, the weights of the frames around one: float64 [2 window k + 1] for order k.

    Order 1 is the slope of the regression line through 2 window + 1 frames, j / sum j^2 at offset j; order k is that of
    order k - 1, in one filter.
    """
    offsets = torch.arange(-window, window + 1, dtype=torch.float64)
    slope = offsets / offsets.square().sum()
    filters = [torch.ones(1, dtype=torch.float64)]
    for _ in range(order):
        longer = torch.zeros(len(filters[-1]) + 2 * window, dtype=torch.float64)
        for start, weight in enumerate(slope):
            longer[start : start + len(filters[-1])] += weight * filters[-1]
        filters.append(longer)
    return filters


def add_deltas(frames: Tensor, lengths: Tensor, window: int = 2, order: int = 2) -> Tensor:
    """frames [T, F] of utterances of `lengths` [U] -> [T, F (order + 1)]: the features, their deltas, deltas of these.

    Before the first and after the last frame of an utterance, these are repeated. In the frames' type and device.
    """
    reach = window * order
    # Each utterance with its ends repeated, so that a filter is a few shifted sums of the whole.
    padded_lengths = lengths + 2 * reach
    padded_first, _ = bounds_of_frames(padded_lengths)
    place = torch.arange(len(padded_first), device=frames.device) - padded_first - reach
    last = torch.repeat_interleave(lengths, padded_lengths) - 1
    source = torch.repeat_interleave(lengths.cumsum(0) - lengths, padded_lengths)
    padded = frames[source + torch.minimum(place.clamp_min(0), last)]
    utterance = torch.repeat_interleave(torch.arange(len(lengths), device=frames.device), lengths)
    of_frame = torch.arange(len(frames), device=frames.device) + reach * (
        2 * utterance + 1
    )  # places of the frames in it

    columns = [frames]
    for filter_of_order in delta_filters(window, order)[1:]:
        half = len(filter_of_order) // 2
        total = torch.zeros_like(padded)
        inner = total[half : len(padded) - half]
        for start, weight in enumerate(filter_of_order.tolist()):
            if weight:
                inner.add_(padded[start : start + len(inner)], alpha=weight)
        columns.append(total[of_frame])
    return torch.cat(columns, dim=1)
