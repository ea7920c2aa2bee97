"""Recordings that anybody may bring: read as the recipes read theirs, long ones in parts, and refused with a reason."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import soundfile
from numpy.typing import NDArray

from spk.data.audio import read_audio
from spk.errors import InputError

log = logging.getLogger(__name__)

# More of a recording than this is not embedded at once: memory grows with it. The longest tests of SITW have 180 s.
LONGEST_PART = 300.0
SHORT = 1.0  # seconds; less says little of a speaker
SILENCE = 3 / 32768  # a recording that stays within so much, one step of 16 bits up and down, holds no speech


@dataclass(frozen=True)
class Recording:
    """A file as its header describes it, to be read at `sample_rate` in `num_parts` equal parts."""

    path: str
    seconds: float
    sample_rate: int
    min_samples: int
    num_parts: int = 1

    @property
    def is_long(self) -> bool:
        return self.num_parts > 1

    def waves(self) -> Iterator[NDArray[np.float32]]:
        """[samples] of one part after another, without the silent ones: memory does not grow with the number of parts.

        Raises: InputError that names the file, for what cannot be read, is silent as a whole or shorter than
        `min_samples`.
        """
        num_silent = 0
        for index in range(self.num_parts):
            part = None  # a short one is read to its end, whatever its header announces
            if self.is_long:
                part = (self.seconds * index / self.num_parts, self.seconds * (index + 1) / self.num_parts)
            wave = read_audio(self.path, self.sample_rate, min_samples=self.min_samples, part=part).samples
            if is_silent(wave):
                num_silent += 1
            else:
                yield wave
        if num_silent == self.num_parts:
            raise InputError(f"{self.path}: all of its {self.seconds:.2f} s are silent; there is nobody to hear")
        if self.is_long:
            silent = f"; {num_silent} of them are silent and left out" if num_silent else ""
            log.info("%s: %.0f s are taken in %d parts%s", self.path, self.seconds, self.num_parts, silent)
        if self.seconds < SHORT:
            log.warning(
                "warning: %s: has %.2f s only; so little speech says little of who speaks", self.path, self.seconds
            )


def is_silent(wave: NDArray[np.float32]) -> bool:
    """Samples, at least one, that hold no speech."""
    return bool(wave.size and np.ptp(wave) <= SILENCE)


def open_recording(
    path: str | os.PathLike[str], sample_rate: int, min_samples: int = 1, longest_part: float = LONGEST_PART
) -> Recording:
    """Any file that libsndfile reads (wav, flac, mp3, ogg), channels averaged, brought to `sample_rate`.

    More than `longest_part` seconds come in parts. Raises: InputError that names the file, for a directory or a rate
    below `sample_rate`; what else is wrong with it, `Recording.waves` finds.
    """
    path = os.fspath(path)
    if os.path.isdir(path):  # noqa: PTH112 (a name may be of either kind)
        raise InputError(f"{path}: is a directory; give a recording")
    seconds, rate = header(path)
    if 0 < rate < sample_rate:
        raise InputError(
            f"{path}: sampled at {rate} Hz, and this system needs {sample_rate} Hz or more; raising the rate would not "
            f"bring back what is missing above {rate // 2} Hz: record at {sample_rate} Hz, or use a system trained at "
            f"{rate} Hz"
        )
    return Recording(path, seconds, sample_rate, min_samples, max(1, math.ceil(seconds / longest_part)))


def header(path: str) -> tuple[float, int]:
    """Seconds and rate in Hz that the file announces; 0 and 0 for what cannot be read, of which read_audio says why."""
    try:
        info = soundfile.info(path)
    except (soundfile.SoundFileError, RuntimeError, TypeError, OSError):
        return 0.0, 0
    return info.duration, info.samplerate
