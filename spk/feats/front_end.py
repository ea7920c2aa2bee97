"""What every front end is: waves of one length in, frames of features out, a bounded number of frames at a time."""

from __future__ import annotations

import abc
import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spk.feats.rooms import rooms

FRAMES_AT_A_TIME = 2048  # bounds the memory that a long recording takes; does not change a value
FRAMES_IN_CACHE = 384  # transformed together on a CPU: fewer calls with less, more than its cache holds with more
# Kaldi's --compression-method: uint16 of the whole range; automatic, uint8 for features.
SIXTEEN_BITS, EIGHT_BITS = 3, 1


class FrontEnd(nn.Module, abc.ABC):
    """Waves -> features, not normalised (normalisation belongs to the network's input, after cropping).

    dim: values a frame.   sample_rate: in Hz, of the waves that it takes.   min_samples: the fewest for one frame.
    compression: the Kaldi method that arks of these features should use: 8 bits would ruin linear magnitudes.
    Frame t is made of the `length` samples from `begin` + t * `shift` on. Samples before the wave's first and after its
    last are those of the wave reflected; `repeats_ends`: its first and last sample are in the reflection, too.
    `place_matters`: what is made of a frame depends on how many were before it.
    """

    dim: int
    sample_rate: int
    min_samples: int
    compression: int
    length: int
    shift: int
    begin: int = 0
    repeats_ends: bool = False
    place_matters: bool = False

    @abc.abstractmethod
    def num_frames(self, num_samples: int) -> int:
        """The number of frames T of a wave of so many samples, at least min_samples."""

    @abc.abstractmethod
    def analyse(self, frames: Tensor) -> Tensor:
        """Frames of samples -> features: [..., length] -> [..., dim]. Each frame for itself."""

    def prepared(self, frames_NTL: Tensor) -> Tensor:
        """What of the frames is to be analysed, where their place matters: [N, T, length] -> the same."""
        return frames_NTL

    def cut(self, stretches_NS: Tensor) -> Tensor:
        """Whole frames, from the first sample on: [N, (T - 1) * shift + length] -> [N, T, length]."""
        return stretches_NS.unfold(1, self.length, self.shift)

    def stretch(self, first: int, count: int) -> tuple[int, int]:
        """Where the samples of `count` frames begin and end, from frame `first` on: positions, perhaps outside."""
        begin = self.begin + first * self.shift
        return begin, begin + (count - 1) * self.shift + self.length

    def reflected(self, positions: Tensor, num_samples: int) -> Tensor:
        """Which samples 0..num_samples-1 of a wave stand at these positions of it and of its reflections."""
        last = num_samples - 1 if not self.repeats_ends else num_samples
        positions = positions % max(1, 2 * last)
        return torch.minimum(positions, 2 * last - self.repeats_ends - positions)

    def forward(self, waves: Tensor) -> Tensor:
        """float32 [N, samples] in ±1, all of one length -> float32 [N, T, dim]. ValueError for too few samples."""
        return self.of_stretches(self.stretches(waves))

    def stretches(self, waves: Tensor) -> Tensor:
        """[N, samples] -> [N, (T - 1) * shift + length], the samples that their frames are made of.

        Lies in `waves` or in memory that the next call takes.
        """
        num_samples = waves.shape[-1]
        if num_samples < self.min_samples:
            raise ValueError(f"{num_samples} samples are too few; one frame takes {self.min_samples}")
        begin, end = self.stretch(0, self.num_frames(num_samples))
        if begin >= 0 and end <= num_samples:
            return waves[:, begin:end]
        before, after = (
            waves[:, self.reflected(torch.arange(*outside, device=waves.device), num_samples)]
            for outside in ((min(begin, 0), 0), (num_samples, max(end, num_samples)))
        )
        inside = waves[:, max(begin, 0) : min(end, num_samples)]
        return torch.cat([before, inside, after], dim=1, out=rooms("stretches", (len(waves), end - begin), waves))

    def of_waves(self, waves: Sequence[Tensor]) -> list[Tensor]:
        """float32 [samples] in ±1, of any lengths -> float32 [T, dim] each, worked out together on its own device.

        As forward makes them within float32 rounding: a matrix product of other sizes may round otherwise.
        """
        device = next(self.buffers()).device
        if self.place_matters:
            return [self(wave[None].to(device))[0] for wave in waves]
        # One wave of all: each begins a whole number of shifts after the last. Frames that reach into the next are cut.
        shifts, padded = [], []
        for wave in waves:
            stretch = self.stretches(wave[None])[0]
            shifts.append(-(-len(stretch) // self.shift))
            padded.append(F.pad(stretch, (0, shifts[-1] * self.shift - len(stretch))))
        joined = torch.cat(padded)
        frames = F.pad(joined, (0, self.length)).to(device, non_blocking=True)
        parts = self.of_stretches(frames[None])[0][: sum(shifts)].split(shifts)
        return [part[: self.num_frames(len(wave))] for part, wave in zip(parts, waves, strict=True)]

    def of_stretches(self, stretches_NS: Tensor) -> Tensor:
        """float32 [N, (T - 1) * shift + length] in ±1 -> float32 [N, T, dim]: the frames that lie in them."""
        # Half precision has no place in a logarithm of small powers.
        with torch.autocast(stretches_NS.device.type, enabled=False):
            frames = self.cut(stretches_NS.float())
            features = frames.new_empty((*frames.shape[:2], self.dim), dtype=torch.float32)
            for part, into in zip(*(x.split(FRAMES_AT_A_TIME, dim=1) for x in (frames, features)), strict=True):
                for block, into_block in in_cache(self.prepared(part), into):
                    into_block.copy_(self.analyse(block))
            return features


def in_cache(frames_NTL: Tensor, features_NTF: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Frames and where their features go -> parts of both that are worked on together: on a CPU [t, ...] of one wave.

    No part is a few frames alone: matrix products of few rows are worked out in another way, and round otherwise.
    """
    if frames_NTL.device.type != "cpu":
        yield frames_NTL, features_NTF
        return
    num_frames = frames_NTL.shape[1]
    begins = range(0, max(1, num_frames - FRAMES_IN_CACHE // 2), FRAMES_IN_CACHE)
    for frames, features in zip(frames_NTL, features_NTF, strict=True):
        for begin, end in itertools.pairwise([*begins, num_frames]):
            yield frames[begin:end], features[begin:end]


def power_spectrum(frames: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """|X|^2 of the FFT of each frame: [..., n] -> [..., n // 2 + 1], in memory that the next call takes.

    dtype: of the result; without it the frames'.
    """
    squares = torch.view_as_real(torch.fft.rfft(frames)).square_()
    power = rooms("power", squares.shape[:-1], frames, dtype)
    return torch.add(squares[..., 0], squares[..., 1], out=power)


def whole_eights(filters: Tensor) -> Tensor:
    """[bins, F] -> [bins, F rounded up to whole eights], with zeros: products with 23 columns take twice as long."""
    return F.pad(filters, (0, -filters.shape[1] % 8))
