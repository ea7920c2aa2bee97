"""Frames of several utterances one after another, and where each utterance begins and ends."""

from __future__ import annotations

import torch
from torch import Tensor


def bounds_of_frames(lengths: Tensor) -> tuple[Tensor, Tensor]:
    """lengths [U] of utterances that lie one after another -> of each frame its utterance's first frame and last + 1.

    Both [T] int64, T the sum of the lengths.
    """
    end = lengths.cumsum(0)
    return torch.repeat_interleave(end - lengths, lengths), torch.repeat_interleave(end, lengths)


def sums_before(values: Tensor) -> Tensor:
    """values [T, ...] -> float64 [T + 1, ...]: row t sums what is before t; a stretch has two rows' difference."""
    zero = torch.zeros((1, *values.shape[1:]), dtype=torch.float64, device=values.device)
    return torch.cat([zero, values.cumsum(0, dtype=torch.float64)])
