"""Waves as arrays -> features as arrays: one after another for the same bytes everywhere, or several on a device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from spk.feats.front_end import FrontEnd

# Of all waves that are handed over together. One by one: reading, front end and encoding each find their own code and
# tables in the processor's cache more often. On a device: enough to keep it busy, for 40 MB of samples.
SECONDS_ONE_BY_ONE, SECONDS_AT_ONCE = 60, 600


class OneByOne:
    """Each wave by itself on the CPU: what is made of it depends on nothing else."""

    def __init__(self, front_end: FrontEnd) -> None:
        self.front_end = front_end
        self.sample_rate, self.min_samples = front_end.sample_rate, front_end.min_samples
        self.samples_at_once = SECONDS_ONE_BY_ONE * front_end.sample_rate

    @torch.inference_mode()
    def __call__(self, waves: Sequence[np.ndarray]) -> list[np.ndarray]:
        """float32 [samples] each -> float32 [T, dim] each."""
        return [self.front_end(torch.from_numpy(wave)[None])[0].numpy() for wave in waves]


class Together:
    """Several waves at a time on a device: the same values but for float32 rounding."""

    def __init__(self, front_end: FrontEnd, device: torch.device | str) -> None:
        self.front_end = front_end.to(device)
        self.sample_rate, self.min_samples = front_end.sample_rate, front_end.min_samples
        self.samples_at_once = SECONDS_AT_ONCE * front_end.sample_rate

    @torch.inference_mode()
    def __call__(self, waves: Sequence[np.ndarray]) -> list[np.ndarray]:
        """float32 [samples] each -> float32 [T, dim] each."""
        features = self.front_end.of_waves([torch.from_numpy(wave) for wave in waves])
        joined = torch.cat(features).cpu().numpy()
        ends = np.cumsum([len(part) for part in features])
        return np.split(joined, ends[:-1])
