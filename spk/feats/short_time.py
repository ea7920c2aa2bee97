"""The short-time Fourier transform of the papers' front ends: frames of one FFT length, the window in their middle."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from spk.feats.front_end import FrontEnd, power_spectrum
from spk.feats.rooms import rooms

Window = Literal["hamming", "hann"]


def window_of(name: Window, length: int, *, periodic: bool) -> Tensor:
    """[length] float32. Periodic: one period of the cosine is `length` samples; symmetric: length - 1."""
    phase = 2 * math.pi * torch.arange(length, dtype=torch.float64) / (length if periodic else length - 1)
    mean = {"hamming": 0.54, "hann": 0.5}[name]
    return (mean - (1 - mean) * torch.cos(phase)).float()


class ShortTimeFourier(FrontEnd):
    """Frames of n_fft samples every frame_shift, whose middle frame_length samples the window weights.

    Centred: frame t has its middle at sample t * frame_shift, the wave's ends are reflected (without the end sample),
    and T = 1 + samples // frame_shift. Otherwise frame t begins at sample t * frame_shift, and T = 1 + (samples -
    n_fft) // frame_shift: what torch.stft does with center=True and center=False.
    """

    sample_rate = 16000

    def __init__(
        self, window: Window, *, periodic: bool, frame_length: int, n_fft: int, frame_shift: int = 160, centred: bool
    ) -> None:
        super().__init__()
        self.n_fft, self.centred = n_fft, centred
        self.length, self.shift, self.begin = n_fft, frame_shift, -(n_fft // 2) if centred else 0
        self.min_samples = n_fft // 2 + 1 if centred else n_fft  # as many as one reflection needs
        before = (n_fft - frame_length) // 2
        padded = F.pad(window_of(window, frame_length, periodic=periodic), (before, n_fft - frame_length - before))
        self.register_buffer("window", padded, persistent=False)

    def num_frames(self, num_samples: int) -> int:
        return 1 + (num_samples if self.centred else num_samples - self.n_fft) // self.shift

    def power(self, frames: Tensor) -> Tensor:
        """[..., n_fft] -> |X|^2: [..., n_fft // 2 + 1], in memory that the next call takes."""
        weighted = rooms("weighted", frames.shape, frames)
        return power_spectrum(torch.mul(frames, self.window, out=weighted))
