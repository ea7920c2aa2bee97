"""Cepstral mean normalisation in a sliding window: Kaldi's apply-cmvn-sliding, centred, mean only."""

from __future__ import annotations

import torch
from torch import Tensor

from spk.feats.segments import bounds_of_frames, sums_before


def subtract_sliding_mean(frames: Tensor, lengths: Tensor, window: int = 300) -> Tensor:
    """frames [T, F] of utterances of `lengths` [U], less the mean of the `window` frames around each: [T, F].

    The window of frame t begins at t - window // 2; at the ends of an utterance it is moved inside, and in a shorter
    utterance it is all of it. Sums are float64.
    """
    first, end = bounds_of_frames(lengths)
    frame = torch.arange(len(frames), device=frames.device)
    begin = torch.maximum(torch.minimum(frame - window // 2, end - window), first)
    stop = torch.minimum(begin + window, end)
    sums = sums_before(frames)
    mean = (sums[stop] - sums[begin]) / (stop - begin)[:, None]
    return (frames - mean).to(frames.dtype)
