"""Read audio for features: a file or a part of it, or a pipe; one channel at the wanted rate, or a reason why not."""

from __future__ import annotations

import contextlib
import functools
import io
import math
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from spk.errors import InputError

# A stream's writer cannot know its length: sox and ffmpeg write such sizes into the header of a WAV.
UNKNOWN_SIZE = 0x7FFFF000
# libsndfile's log, where a WAV's header announces other than the file holds.
ANNOUNCED_SIZE = re.compile(r"^data\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
OVERSHOOT = 0.5  # seconds that a part may reach past the end, as in Kaldi's extract-segments
LARGEST_RESAMPLING_KERNEL = 20_000_000  # values; rates with no common divisor need absurd ones
CACHED_RESAMPLERS = 8  # for 44.1 kHz to 16 kHz 0.3 MB, the largest 80 MB


class AudioError(InputError):
    """One recording cannot be used. `reason` says why, `entry` which; the message names both."""

    def __init__(self, entry: str, reason: str) -> None:
        super().__init__(f"{entry}: {reason}")
        self.entry, self.reason = entry, reason


class Audio(NamedTuple):
    """One channel, float32 [samples] in ±1 at the wanted rate, and what the file had."""

    samples: np.ndarray
    file_rate: int  # Hz
    file_channels: int


def is_pipe(entry: str) -> bool:
    """Is this value of a wav.scp a command whose output is the audio?"""
    return entry.rstrip().endswith("|")


def read_audio(
    entry: str,
    sample_rate: int,
    *,
    min_samples: int = 1,
    allow_pipes: bool = False,
    part: tuple[float, float] | None = None,
) -> Audio:
    """Read what a wav.scp names: a path, or `command |`, which runs in a shell when `allow_pipes`.

    `part`: (begin, end) in seconds, as in Kaldi's `segments` (an end of -1 is the file's); only the part is decoded.
    Channels are averaged, and a higher rate is brought down to `sample_rate`. Raises AudioError for what cannot be
    read, is truncated, has a lower rate, holds values that are not finite, or has fewer than `min_samples` at
    `sample_rate`.
    """
    if is_pipe(entry):
        if not allow_pipes:
            raise AudioError(entry, "is a command; --allow-pipes true runs it")
        source = run_pipe(entry)
    else:
        source = os.fsencode(entry)
    try:
        with soundfile.SoundFile(source) as file:
            samples = read_part(entry, file, part)
            file_rate = file.samplerate
    except (soundfile.SoundFileError, RuntimeError, TypeError, OSError) as error:
        raise AudioError(entry, why_unreadable(source, error)) from None
    if not len(samples):
        raise AudioError(entry, "holds no samples")
    if not np.isfinite(samples).all():
        raise AudioError(entry, f"{np.count_nonzero(~np.isfinite(samples))} values are not finite")
    file_channels = samples.shape[1]
    mono = samples[:, 0] if file_channels == 1 else samples.mean(axis=1)
    if file_rate < sample_rate:
        raise AudioError(entry, f"sampled at {file_rate} Hz; the features need {sample_rate} Hz or more")
    mono = resample(entry, mono, file_rate, sample_rate)
    if len(mono) < min_samples:
        raise AudioError(
            entry, f"too short: {len(mono)} samples at {sample_rate} Hz, at least {min_samples} are needed"
        )
    return Audio(np.ascontiguousarray(mono), file_rate, file_channels)


def will_need(entry: str) -> None:
    """Let the system fetch a file from the disk, without waiting for it; who reads it says what is wrong with it."""
    if is_pipe(entry) or not hasattr(os, "posix_fadvise"):  # not Linux
        return
    with contextlib.suppress(OSError):
        file = os.open(os.fsencode(entry), os.O_RDONLY | os.O_NONBLOCK)
        try:
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(file)


def read_part(entry: str, file: soundfile.SoundFile, part: tuple[float, float] | None) -> np.ndarray:
    """float32 [samples, channels]. A file that ends before its header says so is truncated."""
    start, end = bounds(entry, file, part)
    return read_stretch(entry, file, start, end)


def bounds(entry: str, file: soundfile.SoundFile, part: tuple[float, float] | None) -> tuple[int, int]:
    """Which samples of the file are this part of it, in seconds; AudioError when it has none or is truncated."""
    announced = ANNOUNCED_SIZE.search(file.extra_info)
    if announced and int(announced[2]) < int(announced[1]) < UNKNOWN_SIZE:
        raise AudioError(entry, f"truncated: the header announces {announced[1]} bytes, {announced[2]} are there")
    if part is None:
        return 0, file.frames
    begin, until = part
    start = round(begin * file.samplerate)
    end = file.frames if until < 0 else round(until * file.samplerate)
    if not 0 <= start < end <= file.frames + OVERSHOOT * file.samplerate:
        duration = file.frames / file.samplerate
        raise AudioError(entry, f"lasts {duration:.2f} s; there is no part from {begin:g} to {until:g} s")
    return start, min(end, file.frames)


def read_stretch(entry: str, file: soundfile.SoundFile, start: int, end: int) -> np.ndarray:
    """float32 [end - start, channels], decoded by themselves. AudioError when the file ends before."""
    if start != file.tell():
        file.seek(start)
    samples = file.read(end - start, dtype="float32", always_2d=True)
    if len(samples) < end - start:
        raise AudioError(entry, f"truncated: {end - start} samples are announced, {len(samples)} could be read")
    return samples


def run_pipe(entry: str) -> io.BytesIO:
    """The output of `command |`."""
    command = entry.rstrip().removesuffix("|")
    finished = subprocess.run(command, shell=True, stdin=subprocess.DEVNULL, capture_output=True)
    if finished.returncode:
        lines = finished.stderr.decode("utf-8", "replace").strip().splitlines()
        raise AudioError(entry, f"the command failed with status {finished.returncode}: {lines[-1] if lines else ''}")
    return io.BytesIO(finished.stdout)


def why_unreadable(source: bytes | io.BytesIO, error: Exception) -> str:
    """In words, what libsndfile calls 'System error' or 'Format not recognised'."""
    if isinstance(source, io.BytesIO):
        if not source.getbuffer().nbytes:
            return "the command gave no output"
    else:
        try:
            with Path(os.fsdecode(source)).open("rb") as file:
                if not file.read(1):
                    return "empty file"
        except OSError as system_error:
            return str(system_error.strerror or system_error).lower()
    reason = getattr(error, "error_string", str(error)).removeprefix("Error : ").removeprefix("Error in ").rstrip(".")
    return f"no audio that can be read: {reason}"


def resample(entry: str, samples: np.ndarray, file_rate: int, sample_rate: int) -> np.ndarray:
    """float32 [S] at file_rate -> [ceil(S sample_rate / file_rate)]; AudioError where the rates fit too badly."""
    if file_rate == sample_rate:
        return samples
    divisor = math.gcd(file_rate, sample_rate)
    if (file_rate // divisor) * (sample_rate // divisor) > LARGEST_RESAMPLING_KERNEL:
        raise AudioError(entry, f"sampled at {file_rate} Hz, which cannot be resampled to {sample_rate} Hz here")
    import torch

    convert = resampler(file_rate // divisor, sample_rate // divisor)
    return convert(torch.from_numpy(np.ascontiguousarray(samples))).numpy()


@functools.lru_cache(maxsize=CACHED_RESAMPLERS)
def resampler(old: int, new: int) -> Callable:
    """Brings float32 tensors from rate `old` to `new`, which have no common divisor.

    Its kernel takes longer to make than a second of audio to resample.
    """
    import torch
    from torchaudio.transforms import Resample

    return Resample(old, new, dtype=torch.float32)
