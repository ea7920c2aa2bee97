"""What Kaldi's front ends share: framing, dither, pre-emphasis, window, energy, power spectrum; options named as there.

Source: the behaviour of kaldi-asr/kaldi src/feat (feature-window.cc, mel-computations.cc). Kaldi takes samples on the
scale of 16-bit integers; here they come in ±1 and are scaled first. Kaldi computes in float32; here it is float64 up to
the power spectrum, for logarithms of small powers show float32's rounding in their third decimal, on each device
another.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from spk.errors import InputError
from spk.feats.front_end import FrontEnd, power_spectrum
from spk.feats.rooms import rooms
from spk.schema import AT_LEAST_ONE, FRACTION, NOT_NEGATIVE, POSITIVE

INT16_SCALE = 32768
EPSILON = float(np.finfo(np.float32).eps)  # floor below every logarithm, as in Kaldi
DITHER_SEED = 0

WindowType = Literal["hamming", "hanning", "povey", "rectangular", "sine", "blackman"]
SampleFrequency = Annotated[int, AT_LEAST_ONE]  # Hz
Milliseconds = Annotated[float, POSITIVE]
NotNegative = Annotated[float, NOT_NEGATIVE]
Fraction = Annotated[float, FRACTION]


def kaldi_window(name: WindowType, length: int, blackman_coeff: float) -> Tensor:
    """[length] float64, symmetric."""
    phase = 2 * math.pi * torch.arange(length, dtype=torch.float64) / (length - 1)
    hann = 0.5 - 0.5 * torch.cos(phase)
    windows = {
        "hamming": 0.54 - 0.46 * torch.cos(phase),
        "hanning": hann,
        "povey": hann**0.85,
        "rectangular": torch.ones_like(phase),
        "sine": torch.sin(0.5 * phase),
        "blackman": blackman_coeff - 0.5 * torch.cos(phase) + (0.5 - blackman_coeff) * torch.cos(2 * phase),
    }
    return windows[name]


class KaldiFrontEnd(FrontEnd):
    """Base of kaldi_fbank, kaldi_mfcc and kaldi_spectrogram: frames, their log energies and power spectra.

    With snip_edges only whole frames; else one about every frame_shift, the ends reflected (end sample too).
    """

    repeats_ends = True

    def __init__(
        self,
        *,
        sample_frequency: int,
        frame_length: float,
        frame_shift: float,
        dither: float,
        preemphasis_coefficient: float,
        remove_dc_offset: bool,
        window_type: WindowType,
        blackman_coeff: float,
        round_to_power_of_two: bool,
        snip_edges: bool,
        raw_energy: bool,
        energy_floor: float,
    ) -> None:
        super().__init__()
        self.sample_rate = sample_frequency
        self.length = int(sample_frequency * 0.001 * frame_length)  # samples
        self.shift = int(sample_frequency * 0.001 * frame_shift)
        if self.length < 2 or self.shift < 1:
            raise InputError(
                f"features: frame_length {frame_length:g} and frame_shift {frame_shift:g} (ms) make {self.length} and "
                f"{self.shift} samples at {sample_frequency} Hz; at least 2 and 1 are needed"
            )
        self.n_fft = 1 << (self.length - 1).bit_length() if round_to_power_of_two else self.length
        self.dither, self.preemphasis_coefficient = dither, preemphasis_coefficient
        self.remove_dc_offset, self.snip_edges = remove_dc_offset, snip_edges
        self.raw_energy, self.energy_floor = raw_energy, energy_floor
        self.place_matters = dither > 0
        self.begin = 0 if snip_edges else self.shift // 2 - self.length // 2
        self.min_samples = self.length if snip_edges else max(1, self.shift - self.shift // 2)
        self.register_buffer("window", kaldi_window(window_type, self.length, blackman_coeff), persistent=False)

    def num_frames(self, num_samples: int) -> int:
        if self.snip_edges:
            return 1 + (num_samples - self.length) // self.shift
        return (num_samples + self.shift // 2) // self.shift

    def cut(self, stretches_NS: Tensor) -> Tensor:
        scaled = rooms("scaled", stretches_NS.shape, stretches_NS, torch.float64)
        return super().cut(torch.mul(stretches_NS, INT16_SCALE, out=scaled))  # a power of two: float32 loses nothing

    def prepared(self, frames_NTL: Tensor) -> Tensor:
        return frames_NTL + self.dither * self.noise(frames_NTL) if self.dither else frames_NTL

    def power(
        self, frames: Tensor, *, with_energy: bool, dtype: torch.dtype = torch.float64
    ) -> tuple[Tensor, Tensor | None]:
        """(power [..., n_fft // 2 + 1] of `dtype`, log energy [...] or None) of frames [..., length], float64.

        The power in memory that the next call takes.
        """
        energy = None
        if self.remove_dc_offset:
            mean = frames.mean(dim=-1, keepdim=True)
            frames = torch.sub(frames, mean, out=rooms("centred", frames.shape, frames))
        if with_energy and self.raw_energy:
            energy = log_energy(frames)
        padded = rooms("padded", (*frames.shape[:-1], self.n_fft), frames)
        padded[..., self.length :] = 0
        weighted = padded[..., : self.length]
        if self.preemphasis_coefficient:  # (x_t - c x_{t-1}) w_t, where nothing comes before x_0 but itself
            torch.mul(frames[..., :1], 1 - self.preemphasis_coefficient, out=weighted[..., :1])
            torch.sub(frames[..., 1:], frames[..., :-1], alpha=self.preemphasis_coefficient, out=weighted[..., 1:])
            weighted.mul_(self.window)
        else:
            torch.mul(frames, self.window, out=weighted)
        if with_energy and not self.raw_energy:
            energy = log_energy(weighted)
        if energy is not None and self.energy_floor > 0:
            energy.clamp_min_(math.log(self.energy_floor))
        return power_spectrum(padded, dtype), energy

    def noise(self, frames_NTL: Tensor) -> Tensor:
        """Standard normal values, the same for every wave and in every run, so that features can be made again."""
        generator = torch.Generator().manual_seed(DITHER_SEED)
        return torch.randn(frames_NTL.shape[1:], generator=generator).to(frames_NTL)


def log_energy(frames: Tensor) -> Tensor:
    """[..., L] -> log of the sum of squares: [...]."""
    return frames.square().sum(dim=-1).clamp_min(EPSILON).log()


def mel_filters(num_bins: int, n_fft: int, sample_frequency: int, low_freq: float, high_freq: float) -> Tensor:
    """[n_fft // 2 + 1, num_bins] float64: triangles of height 1 on mel = 1127 ln(1 + f / 700); half the
    sample frequency itself has no weight.

    A high_freq of 0 or less counts from half the sample frequency. InputError for an impossible range or empty filters.
    """
    nyquist = sample_frequency / 2
    high = high_freq if high_freq > 0 else nyquist + high_freq
    if not 0 <= low_freq < high <= nyquist:
        raise InputError(
            f"features: low_freq {low_freq:g} and high_freq {high_freq:g} (Hz) leave no band within 0 to {nyquist:g}"
        )
    mel = 1127 * np.log1p(np.array([low_freq, high]) / 700)
    edges = np.linspace(mel[0], mel[1], num_bins + 2)
    left, center, right = edges[:-2], edges[1:-1], edges[2:]
    of_bin = 1127 * np.log1p(np.arange(n_fft // 2)[:, None] * (sample_frequency / n_fft) / 700)
    weights = np.minimum((of_bin - left) / (center - left), (right - of_bin) / (right - center)).clip(min=0)
    if empty := np.flatnonzero(~weights.any(axis=0)).tolist():
        raise InputError(
            f"features: num_mel_bins {num_bins} is too many for FFTs of {n_fft} samples: filter {empty[0]} is empty"
        )
    return torch.from_numpy(np.concatenate([weights, np.zeros((1, num_bins))]))
