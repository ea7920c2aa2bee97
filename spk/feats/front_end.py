"""What every front end is: waves of one length in, frames of features out, a bounded number of frames at a time."""

from __future__ import annotations

import abc

import torch
from torch import Tensor, nn

FRAMES_AT_A_TIME = 2048  # bounds the memory that a long recording takes; does not change a value
# Kaldi's --compression-method: uint16 of the whole range; automatic, uint8 for features.
SIXTEEN_BITS, EIGHT_BITS = 3, 1


class FrontEnd(nn.Module, abc.ABC):
    """Waves -> features, not normalised (normalisation belongs to the network's input, after cropping).

    dim: values a frame.   sample_rate: in Hz, of the waves that it takes.   min_samples: the fewest for one frame.
    compression: the Kaldi method that arks of these features should use: 8 bits would ruin linear magnitudes.
    """

    dim: int
    sample_rate: int
    min_samples: int
    compression: int

    @abc.abstractmethod
    def num_frames(self, num_samples: int) -> int:
        """The number of frames T of a wave of so many samples, at least min_samples."""

    @abc.abstractmethod
    def frames(self, waves_NS: Tensor) -> Tensor:
        """The samples of each frame, as they are: [N, S] -> [N, T, frame length]."""

    @abc.abstractmethod
    def analyse(self, frames_NTL: Tensor) -> Tensor:
        """Frames of samples -> features: [N, T, frame length] -> [N, T, dim]. Each frame for itself."""

    def forward(self, waves: Tensor) -> Tensor:
        """float32 [N, samples] in ±1, all of one length -> float32 [N, T, dim]. ValueError for too few samples."""
        if waves.shape[-1] < self.min_samples:
            raise ValueError(f"{waves.shape[-1]} samples are too few; one frame takes {self.min_samples}")
        # Half precision has no place in a logarithm of small powers.
        with torch.autocast(waves.device.type, enabled=False):
            frames = self.frames(waves.float())
            return torch.cat([self.analyse(part).float() for part in frames.split(FRAMES_AT_A_TIME, dim=1)], dim=1)
