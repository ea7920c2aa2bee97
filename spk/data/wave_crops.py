"""Waveform crops of utterances: of a recording, only the samples are read that the crop's frames are made of."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple, Protocol

import numpy as np
import soundfile
import torch
from torch import Tensor
from torch.utils.data import Dataset

from spk.data.audio import AudioError, bounds, read_audio, read_stretch, resample, why_unreadable
from spk.data.augmentation import Augmentation, augment, speed_ratio
from spk.data.crops import draw_starts
from spk.data.features import Source
from spk.data.online_augmentation import OnlineAugmentation
from spk.data.sampler import Batch
from spk.data.share import WHOLE, Share
from spk.errors import InputError

# How far torchaudio's resampling reaches, in samples of the lower rate: its default lowpass_filter_width over rolloff,
# rounded up.
RESAMPLING_REACH = 7


class Framing(Protocol):
    """What is needed of a front end: which samples its frames are made of."""

    dim: int
    sample_rate: int
    min_samples: int

    def num_frames(self, num_samples: int) -> int: ...

    def stretch(self, first: int, count: int) -> tuple[int, int]: ...

    def reflected(self, positions: Tensor, num_samples: int) -> Tensor: ...


class WaveCrops(NamedTuple):
    """Crops of L frames as the samples that these are made of: float32 [B, S]; and the frames that are real [B], 1..L.

    An utterance of fewer than L frames is there whole, and zeros behind it.
    """

    stretches: Tensor
    num_frames: Tensor


@dataclass(frozen=True)
class Wave:
    """Samples of which any stretch can be read by itself: read(first, last) -> float32 [last - first]."""

    num_samples: int
    read: Callable[[int, int], np.ndarray]


@contextlib.contextmanager
def open_wave(source: Source, sample_rate: int, speed: float = 1.0) -> Iterator[Wave]:
    """An utterance at the wanted rate, as its line of utt2augmentation says, and then at another speed.

    One that is augmented by that table is read whole: what lies before a crop sounds in it. Raises AudioError.
    """
    ratio = speed_ratio(speed)
    if source.augmentation:
        samples = read_audio(source.entry, sample_rate, part=source.part).samples
        samples = augment(samples, sample_rate, Augmentation.from_json(source.augmentation))
        wave = Wave(len(samples), lambda first, last: samples[first:last])
        yield resampled(wave, source.entry, ratio.numerator, ratio.denominator)
        return
    with soundfile.SoundFile(os.fsencode(source.entry)) as file:
        start, end = bounds(source.entry, file, source.part)
        if file.samplerate < sample_rate:
            raise AudioError(
                source.entry, f"sampled at {file.samplerate} Hz; the features need {sample_rate} Hz or more"
            )

        def read(first: int, last: int) -> np.ndarray:
            samples = read_stretch(source.entry, file, start + first, start + last)
            if not np.isfinite(samples).all():
                raise AudioError(source.entry, f"{np.count_nonzero(~np.isfinite(samples))} values are not finite")
            return samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)

        wave = resampled(Wave(end - start, read), source.entry, file.samplerate, sample_rate)
        yield resampled(wave, source.entry, ratio.numerator, ratio.denominator)


def resampled(wave: Wave, entry: str, rate: int, new_rate: int) -> Wave:
    """What `resample` makes of the whole wave, by stretches: of the wave only what these need is read."""
    if rate == new_rate:
        return wave
    divisor = math.gcd(rate, new_rate)
    old, new = rate // divisor, new_rate // divisor  # so many samples become so many
    reach = math.ceil(RESAMPLING_REACH * max(1, old / new) / old)  # in groups of `old` samples

    def read(first: int, last: int) -> np.ndarray:
        begin = max(0, first // new - reach)
        end = min(wave.num_samples, (math.ceil(last / new) + reach) * old)
        samples = resample(entry, wave.read(begin * old, end), rate, new_rate)
        return samples[first - begin * new : last - begin * new]

    return Wave(math.ceil(wave.num_samples * new / old), read)


class WaveReader:
    """Utterances as waveforms, each at every speed: those at the first speed come first, in their order.

    Pickled or forked to data loader workers it costs what its text takes: sources are kept in few large pieces.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        utterances: Sequence[str],
        durations: np.ndarray,
        framing: Framing,
        speeds: Sequence[float] = (1.0,),
    ) -> None:
        """`durations` [U] in seconds, as utt2dur has them; `sources` knows every utterance."""
        self.framing = framing
        self.speeds = tuple(speeds)
        self.utterances = Names(utterances, self.speeds)
        chosen = [sources[utterance] for utterance in utterances]
        encoded = [
            f"{source.entry}\0{source.augmentation or ''}".encode("utf-8", "surrogateescape") for source in chosen
        ]
        self._text = b"".join(encoded)
        self._ends = np.cumsum([len(text) for text in encoded])
        self._parts = np.array([source.part or (np.nan, np.nan) for source in chosen])
        num_samples = np.round(np.asarray(durations) * framing.sample_rate).astype(np.int64)
        # int64 [U * speeds]: how many frames each has, by its duration; 0 when it is too short for one.
        self.num_frames = np.concatenate([self._foretold(num_samples, speed_ratio(speed)) for speed in self.speeds])

    def _foretold(self, num_samples: np.ndarray, speed: Fraction) -> np.ndarray:
        num_samples = -(-num_samples * speed.denominator // speed.numerator)  # rounded up
        return np.where(num_samples < self.framing.min_samples, 0, self.framing.num_frames(num_samples))

    @property
    def dim(self) -> int:
        return self.framing.dim

    def __len__(self) -> int:
        return len(self.utterances)

    def source(self, index: int) -> tuple[Source, float]:
        """An utterance's source and its speed."""
        speed, index = divmod(index, len(self._ends))
        text = self._text[self._ends[index - 1] if index else 0 : self._ends[index]].decode("utf-8", "surrogateescape")
        entry, augmentation = text.split("\0")
        begin, end = self._parts[index].tolist()
        return Source(entry, None if math.isnan(begin) else (begin, end), augmentation or None), self.speeds[speed]

    def crops(
        self,
        indices: Sequence[int] | np.ndarray,
        starts: Sequence[int] | np.ndarray,
        length: int,
        augmentations: Sequence[Augmentation | None] | None = None,
    ) -> WaveCrops:
        """Of utterance indices[b] the frames from starts[b] on, `length` or to its end, augmented as crops.

        Raises InputError naming an utterance that cannot be read, or whose length is not what utt2dur says: one frame
        more or less may be rounding, and moves the crop.
        """
        begin, end = self.framing.stretch(0, length)
        stretches = torch.zeros(len(indices), end - begin)
        num_frames = torch.zeros(len(indices), dtype=torch.int64)
        for row, (index, start) in enumerate(zip(indices, starts, strict=True)):
            augmentation = augmentations[row] if augmentations is not None else None
            stretch, num_frames[row] = self._crop(int(index), int(start), length, augmentation)
            stretches[row, : len(stretch)] = stretch
        return WaveCrops(stretches, num_frames)

    def _crop(self, index: int, start: int, length: int, augmentation: Augmentation | None) -> tuple[Tensor, int]:
        """The samples of one crop's frames, and their number."""
        source, speed = self.source(index)
        with errors_name(source.entry, self.utterances, index):
            with open_wave(source, self.framing.sample_rate, speed) as wave:
                total = self._check_length(index, source, wave.num_samples)
                count = min(length, total)
                start = min(start, total - count)
                begin, end = self.framing.stretch(start, count)
                if begin >= 0 and end <= wave.num_samples:
                    positions, lowest, highest = None, begin, end - 1
                else:
                    positions = self.framing.reflected(torch.arange(begin, end), wave.num_samples)
                    lowest, highest = int(positions.min()), int(positions.max())
                # The first frames' crop begins with the wave, and the last frames' ends with it: all frames, all of it.
                first = lowest if start else 0
                last = highest + 1 if start + count < total else wave.num_samples
                samples = wave.read(first, last)
            if augmentation is not None:
                samples = augment(samples, self.framing.sample_rate, augmentation)
        samples = torch.from_numpy(np.ascontiguousarray(samples))
        return samples[begin - first : end - first] if positions is None else samples[positions - first], count

    def _check_length(self, index: int, source: Source, num_samples: int) -> int:
        """The frames of the recording as it is."""
        total = self.framing.num_frames(num_samples) if num_samples >= self.framing.min_samples else 0
        if abs(total - self.num_frames[index]) > 1 or not total:
            raise InputError(
                f"{source.entry}: utterance {self.utterances[index]!r}: has {total} frames, but by utt2dur "
                f"it had {self.num_frames[index]}; run steps/compute_durations again"
            )
        return total


class Names(Sequence):
    """The utterances' names at the first speed, then at the second, ..."""

    def __init__(self, utterances: Sequence[str], speeds: Sequence[float]) -> None:
        self._utterances, self._speeds = utterances, speeds

    def __len__(self) -> int:
        return len(self._utterances) * len(self._speeds)

    def __getitem__(self, index: int) -> str:
        speed, index = divmod(index, len(self._utterances))
        return named_at(self._utterances[index], self._speeds[speed])


def named_at(name: str, speed: float) -> str:
    """What an utterance, or a speaker, is called at a speed, as in Kaldi: sp0.9-NAME."""
    return name if speed == 1 else f"sp{speed:g}-{name}"


@contextlib.contextmanager
def errors_name(entry: str, utterances: Sequence[str], index: int) -> Iterator[None]:
    """Whatever keeps an utterance, or what is added to it, from being read becomes an InputError that names both.

    Names are looked up for an error alone: the worker that touches a name copies its page of memory.
    """
    try:
        yield
    except AudioError as error:
        raise InputError(f"{error.entry}: utterance {utterances[index]!r}: {error.reason}") from None
    except (soundfile.SoundFileError, OSError) as error:
        reason = why_unreadable(os.fsencode(entry), error)
        raise InputError(f"{entry}: utterance {utterances[index]!r}: {reason}") from None


class WaveCropDataset(Dataset):
    """`dataset[batch]` -> (WaveCrops, labels [B], batch): where a CropDataset cuts, but samples, and augmented.

    With a `share`, crops are its only; labels remain the whole batch's.
    A recording that cannot be read makes the item an InputError.
    """

    def __init__(
        self,
        reader: WaveReader,
        labels: np.ndarray,
        crop_frames: int,
        augmentation: OnlineAugmentation | None = None,
        share: Share = WHOLE,
    ) -> None:
        self.reader = reader
        self.labels = torch.as_tensor(labels, dtype=torch.int64)
        self.crop_frames = crop_frames
        self.augmentation = augmentation
        self.share = share
        begin, end = reader.framing.stretch(0, crop_frames)
        self.crop_seconds = (end - begin) / reader.framing.sample_rate

    def __getitem__(self, batch: Batch) -> tuple[WaveCrops, Tensor, Batch] | InputError:
        rows = self.share.rows(len(batch.utterances))
        starts = draw_starts(batch, self.reader.num_frames, self.crop_frames)[rows]
        augmentations = None
        if self.augmentation is not None:
            augmentations = self.augmentation.draw(batch, self.crop_seconds, rows)
        try:
            crops = self.reader.crops(batch.utterances[rows], starts, self.crop_frames, augmentations)
        except InputError as error:
            return error
        return crops, self.labels[batch.utterances], batch
