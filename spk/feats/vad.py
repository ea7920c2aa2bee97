"""Voice activity by energy: Kaldi's compute-vad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from spk.feats.segments import bounds_of_frames, sums_before
from spk.schema import NOT_NEGATIVE, Range


@dataclass(frozen=True)
class VadConfig:
    """A frame is voiced when at least `proportion_threshold` of the frames from `frames_context` before it to as many
    after it have a log energy above energy_threshold + energy_mean_scale * the utterance's mean log energy.

    Kaldi's names (--vad-...) and defaults.
    """

    energy_threshold: float = 5.5
    energy_mean_scale: Annotated[float, NOT_NEGATIVE] = 0.5
    frames_context: Annotated[int, NOT_NEGATIVE] = 0
    proportion_threshold: Annotated[float, Range(above=0, most=1)] = 0.6


def voiced_frames(log_energy: Tensor, lengths: Tensor, config: VadConfig | None = None) -> Tensor:
    """log_energy [T] of utterances of `lengths` [U] (their MFCC's first coefficient) -> bool [T]."""
    config = config or VadConfig()
    first, end = bounds_of_frames(lengths)
    sums = sums_before(log_energy)
    mean = (sums[end] - sums[first]) / (end - first)
    loud = log_energy > config.energy_threshold + config.energy_mean_scale * mean
    frame = torch.arange(len(log_energy), device=log_energy.device)
    begin = torch.maximum(frame - config.frames_context, first)
    stop = torch.minimum(frame + config.frames_context + 1, end)
    counts = sums_before(loud)
    # In float32, as Kaldi compares: 0.12 of 25 frames are 3.
    needed = (stop - begin).float() * torch.tensor(config.proportion_threshold, dtype=torch.float32)
    return (counts[stop] - counts[begin]).float() >= needed
