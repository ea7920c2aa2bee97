"""Decode compressed audio by ffmpeg: one channel, 16 bits, at the wanted rate, as FLAC or WAV; or a reason why not."""

from __future__ import annotations

import errno
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import soundfile

from spk.errors import InputError

# What is decoded, by suffix.
ENCODED = (".m4a", ".mp4", ".aac", ".webm", ".opus")
CODECS = {"flac": "flac", "wav": "pcm_s16le"}
# Nothing but a file of such a kind is read: no playlist that names other files, no network.
INPUT = ("-threads", "1", "-protocol_whitelist", "file", "-format_whitelist", "mov,mp4,m4a,aac,matroska,webm,ogg")
# No dates and versions, no dithering and one thread: the same bytes each time. FLAC's 8 KiB of padding is left away.
OUTPUT = (
    *("-map", "0:a:0", "-ac", "1", "-sample_fmt", "s16", "-map_metadata", "-1", "-map_chapters", "-1"),
    *("-fflags", "+bitexact", "-flags:a", "+bitexact", "-threads", "1"),
)
NO_ROOM = {"No space left on device": errno.ENOSPC, "Disk quota exceeded": errno.EDQUOT}
EMITTER = re.compile(r"^\[[^\]]* @ 0x[0-9a-f]+\] ")  # '[aac @ 0x55d0a1375cc0] ', the part of ffmpeg that complains


class Task(NamedTuple):
    """A file to decode and what is to come of it; the suffix of `target` says how it is written."""

    source: Path
    target: Path


class Outcome(NamedTuple):
    """What became of a task: the seconds of audio, or the reason why there is no target."""

    task: Task
    seconds: float
    rejected: str = ""


def decode(tasks: Sequence[Task], sample_rate: int) -> Iterator[Outcome]:
    """Decode the first audio stream of each file; targets appear whole, in folders that are there, or not at all.

    One ffmpeg decodes all of them, because starting it takes longer than decoding a few seconds of speech. When it
    complains about anything, the halves are decoded by themselves, down to the files that are at fault. Raises: OSError
    when the disk is full, InputError when there is no ffmpeg.
    """
    if not tasks:
        return
    complaint = run_ffmpeg(tasks, sample_rate)
    if not complaint:
        for task in tasks:
            yield finish(task)
    elif len(tasks) == 1:
        yield Outcome(tasks[0], 0.0, why_undecodable(tasks[0].source, complaint))
    else:
        middle = len(tasks) // 2
        yield from decode(tasks[:middle], sample_rate)
        yield from decode(tasks[middle:], sample_rate)


def run_ffmpeg(tasks: Sequence[Task], sample_rate: int) -> list[str]:
    """Decode into the partial files. Returns the lines of ffmpeg's complaint; then no partial file is left."""
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-filter_threads", "1", "-y"]
    for task in tasks:
        command += [*INPUT, "-i", f"file:{task.source}"]
    for number, task in enumerate(tasks):
        suffix = task.target.suffix[1:]
        output = [f"{number}:a:0" if option == "0:a:0" else option for option in OUTPUT]
        padding = ["-metadata_header_padding", "0"] if suffix == "flac" else []
        command += [*output, "-ar", str(sample_rate), "-c:a", CODECS[suffix], *padding, "-f", suffix]
        command.append(f"file:{partial_of(task.target)}")
    try:
        finished = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    except FileNotFoundError:
        raise InputError("ffmpeg is not installed (apt-get install ffmpeg)") from None
    complaint = finished.stderr.decode("utf-8", "replace").splitlines()
    if finished.returncode == 0 and not complaint:
        return []
    for task in tasks:
        partial_of(task.target).unlink(missing_ok=True)
    for words, number in NO_ROOM.items():
        if any(words in line for line in complaint):
            raise OSError(number, words, os.fspath(tasks[0].target.parent))
    return complaint or [f"ffmpeg ended with status {finished.returncode}"]


def partial_of(target: Path) -> Path:
    """One name for each target, so that what a killed run left is overwritten by the next."""
    return target.with_name(f".{target.name}.partial")


def finish(task: Task) -> Outcome:
    """Give a decoded file its name when it holds audio, and after it has reached the disk."""
    partial = partial_of(task.target)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
        with soundfile.SoundFile(file) as audio:
            seconds = audio.frames / audio.samplerate
    if not seconds:
        partial.unlink()
        return Outcome(task, 0.0, "decodes to no samples")
    partial.replace(task.target)
    return Outcome(task, seconds)


def why_undecodable(source: Path, complaint: Sequence[str]) -> str:
    """ffmpeg's complaint about one file, in a few words."""
    try:
        if source.stat().st_size == 0:
            return "empty file"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    lines = [EMITTER.sub("", line).strip() for line in complaint]
    said = " ".join(lines)
    if "matches no streams" in said:
        return "holds no audio stream"
    if "partial file" in said:
        return "cut off: the file ends before its audio"
    if "whitelist" in said:
        return f"no audio that can be read: the content is in none of the formats of {', '.join(ENCODED)}"
    if "moov atom not found" in said:
        return "no audio that can be read: cut off, or no MPEG-4 at all"
    last = next((line for line in reversed(lines) if line), "").removeprefix(f"file:{source}: ")
    return f"no audio that can be read: {last}"
