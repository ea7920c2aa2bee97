"""VoxCeleb1 as zips of WAV and VoxCeleb2 as zips of AAC: <id>/<video>/<number>, videos named as YouTube names them."""

from __future__ import annotations

import os
import random
import shutil
import string
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from miniature.celebrities import Celebrity
from miniature.packing import audio_bytes
from miniature.source_speech import RATE

from spk.errors import InputError

LETTERS = string.ascii_letters + string.digits + "-_"


@dataclass(frozen=True)
class Utterance:
    """`name`: <id>/<video>/<number>, without a suffix. `samples`: int16 [S] at 16 kHz."""

    celebrity: Celebrity
    name: str
    samples: np.ndarray


def draw_video(generator: random.Random, position: int) -> str:
    """A video's name: 11 of YouTube's 64 letters; every second has a '-' or '_' for sure, some at the begin."""
    letters = generator.choices(LETTERS, k=11)
    if position % 2:
        place = (5, 0, 10, 0, 3)[position // 2 % 5]
        letters[place] = "-_"[position // 2 % 2]
    return "".join(letters)


def name_utterances(
    celebrities: Sequence[Celebrity], speech: Sequence[Sequence[np.ndarray]], generator: random.Random
) -> list[Utterance]:
    """Two utterances from each of a celebrity's videos, numbered from 1 in each."""
    utterances = []
    position = 0
    for celebrity, spoken in zip(celebrities, speech, strict=True):
        for first in range(0, len(spoken), 2):
            video = draw_video(generator, position)
            position += 1
            for number, samples in enumerate(spoken[first : first + 2], start=1):
                utterances.append(Utterance(celebrity, f"{celebrity.id}/{video}/{number:05d}", samples))
    return utterances


def wav_members(utterances: Sequence[Utterance], folder: str) -> dict[str, bytes]:
    """Member of the zip -> 16-bit WAV."""
    return {f"{folder}/{one.name}.wav": audio_bytes(one.samples, RATE) for one in utterances}


def m4a_members(utterances: Sequence[Utterance], folder: str) -> dict[str, bytes]:
    """Member of the zip -> AAC in MP4. Raises: InputError when there is no ffmpeg."""
    if shutil.which("ffmpeg") is None:
        raise InputError("ffmpeg is not installed (Debian, Ubuntu: apt-get install ffmpeg); VoxCeleb2 is AAC")
    num_workers = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as work, ThreadPoolExecutor(num_workers) as workers:
        files = []
        for position, utterance in enumerate(utterances):
            files.append(Path(work) / f"{position}.wav")
            files[-1].write_bytes(audio_bytes(utterance.samples, RATE))
        # Many files a call: starting ffmpeg takes longer than what it does here.
        list(workers.map(encode, [files[first::num_workers] for first in range(num_workers)]))
        encoded = [file.with_suffix(".m4a").read_bytes() for file in files]
    names = [f"{folder}/{one.name}.m4a" for one in utterances]
    return dict(zip(names, encoded, strict=True))


def encode(files: Sequence[Path]) -> None:
    """x.wav -> x.m4a beside it, for each of `files`; the same bytes whenever it is done."""
    if not files:
        return
    command = ["ffmpeg", "-nostdin", "-v", "error"]
    for file in files:
        command += ["-i", os.fspath(file)]
    for position, file in enumerate(files):
        command += ["-map", f"{position}:a", "-c:a", "aac", "-b:a", "64k", "-threads", "1", "-map_metadata", "-1"]
        command += ["-fflags", "+bitexact", "-flags:a", "+bitexact", os.fspath(file.with_suffix(".m4a"))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise InputError(f"ffmpeg ended with status {done.returncode}: {done.stderr.strip()[-300:]}")
