"""Recordings that anybody may bring: read as the recipes read theirs, long ones in parts, and refused with a reason."""

from __future__ import annotations

import logging
import math
import os
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
    """`parts`: float32 [samples] each, in their order, at the system's rate; one where the recording is not long."""

    path: str
    parts: list[NDArray[np.float32]]
    seconds: float  # of all parts together


def read_recording(
    path: str | os.PathLike[str], sample_rate: int, min_samples: int = 1, longest_part: float = LONGEST_PART
) -> Recording:
    """Any file that libsndfile reads (wav, flac, mp3, ogg), channels averaged, brought to `sample_rate`.

    More than `longest_part` seconds come in equal parts, without those that are silent. Raises: InputError that names
    the file, for what cannot be read, has a lower rate, is silent or has fewer than `min_samples`.
    """
    path = os.fspath(path)
    if os.path.isdir(path):  # noqa: PTH112 (a name may be of either kind)
        raise InputError(f"{path}: is a directory; give a recording")
    total, rate = header(path)
    if 0 < rate < sample_rate:
        raise InputError(
            f"{path}: sampled at {rate} Hz, and this system needs {sample_rate} Hz or more; raising the rate would not "
            f"bring back what is missing above {rate // 2} Hz: record at {sample_rate} Hz, or use a system trained at "
            f"{rate} Hz"
        )
    count = max(1, math.ceil(total / longest_part))
    bounds = [None] if count == 1 else [(i * total / count, (i + 1) * total / count) for i in range(count)]
    parts = [read_audio(path, sample_rate, min_samples=min_samples, part=part).samples for part in bounds]
    seconds = sum(map(len, parts)) / sample_rate
    heard = [part for part in parts if np.ptp(part) > SILENCE]
    if not heard:
        raise InputError(f"{path}: all of its {seconds:.2f} s are silent; there is nobody to hear")
    if count > 1:
        silent = f"; {count - len(heard)} of them are silent and left out" if len(heard) < count else ""
        log.info("%s: %.0f s are taken in %d parts%s", path, seconds, count, silent)
    if seconds < SHORT:
        log.warning("warning: %s: has %.2f s only; so little speech says little of who speaks", path, seconds)
    return Recording(path, heard, seconds)


def header(path: str) -> tuple[float, int]:
    """Seconds and rate in Hz that the file announces; 0 and 0 for what cannot be read, of which read_audio says why."""
    try:
        info = soundfile.info(path)
    except (soundfile.SoundFileError, RuntimeError, TypeError, OSError):
        return 0.0, 0
    return info.duration, info.samplerate
