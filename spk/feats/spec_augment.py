"""SpecAugment: stretches of time and bands of frequency of a training crop are masked.

Park et al., SpecAugment, Interspeech 2019 (arXiv:1904.08779), section 2, without time warping. As there, masks go on
features whose mean is 0 already (here: after the network's normalisation of its input), so that a masked value is the
mean, and what is not masked is what it is in test.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from spk.schema import AT_LEAST_ONE, NOT_NEGATIVE


class SpecAugment:
    """Draws, for each crop by itself, so many masks in time and in frequency, of a width from 0 to the widest."""

    def __init__(
        self,
        time_masks: Annotated[int, NOT_NEGATIVE] = 2,
        time_width: Annotated[int, AT_LEAST_ONE] = 10,  # frames
        frequency_masks: Annotated[int, NOT_NEGATIVE] = 2,
        frequency_width: Annotated[int, AT_LEAST_ONE] = 8,  # bins
    ) -> None:
        self.masks = {"time": (time_masks, time_width), "frequency": (frequency_masks, frequency_width)}

    def draw(
        self, random: np.random.Generator, num_crops: int, num_frames: int, num_bins: int
    ) -> tuple[Tensor, Tensor]:
        """bool [N, T, 1] and [N, 1, F]: a value of a crop is masked where either is True.

        Masks may overlap; one is never wider than the crop.
        """
        in_time = self.draw_axis(random, *self.masks["time"], num_crops, num_frames)
        in_frequency = self.draw_axis(random, *self.masks["frequency"], num_crops, num_bins)
        return torch.from_numpy(in_time)[:, :, None], torch.from_numpy(in_frequency)[:, None, :]

    @staticmethod
    def draw_axis(random: np.random.Generator, num_masks: int, widest: int, num_crops: int, length: int) -> np.ndarray:
        """bool [N, length]. Of each mask first the width, then where it begins of all places where it fits."""
        width = random.integers(0, min(widest, length), (num_crops, num_masks, 1), endpoint=True)
        begin = random.integers(0, length - width, endpoint=True)
        place = np.arange(length)
        return ((begin <= place) & (place < begin + width)).any(axis=1)
