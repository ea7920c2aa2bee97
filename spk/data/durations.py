"""How long recordings are, by the headers of their files: nothing is decoded."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import soundfile
from tqdm import tqdm

from spk.data.audio import AudioError, bounds, is_pipe, why_unreadable

HEADERS_AT_ONCE = 8  # a network disk answers several questions in the time of one


def read_durations(paths: Mapping[str, str]) -> tuple[dict[str, float], dict[str, str]]:
    """{name: path} -> {name: seconds} of the files that can be read, and {name: why not} of the others."""
    durations: dict[str, float] = {}
    reasons: dict[str, str] = {}
    with ThreadPoolExecutor(HEADERS_AT_ONCE) as pool:
        found = tqdm(
            pool.map(duration_or_reason, paths.values(), chunksize=64),
            desc="headers",
            total=len(paths),
            disable=not sys.stderr.isatty(),
        )
        for name, said in zip(paths, found, strict=True):
            if isinstance(said, str):
                reasons[name] = said
            else:
                durations[name] = said
    return durations, reasons


def duration_or_reason(path: str) -> float | str:
    try:
        return read_duration(path)
    except AudioError as error:
        return error.reason


def read_duration(path: str) -> float:
    """Seconds. AudioError when the file cannot be read, is truncated or holds no samples, and for a command."""
    if is_pipe(path):
        raise AudioError(path, "is a command, which has no header")
    source = os.fsencode(path)
    try:
        with soundfile.SoundFile(source) as file:
            _, num_samples = bounds(path, file, None)
            rate = file.samplerate
    except (soundfile.SoundFileError, RuntimeError, TypeError, OSError) as error:
        raise AudioError(path, why_unreadable(source, error)) from None
    if not num_samples:
        raise AudioError(path, "holds no samples")
    return num_samples / rate
