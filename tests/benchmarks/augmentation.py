"""Ratios of ways to augment: python3 tests/benchmarks/augmentation.py

1. Features of utterances with a noise or a room each, from a plan in one process, against a process for each file that
does the same (as Kaldi's pipes do: here Python that imports soundfile and numpy alone, which is the least it can do).
2. Four seconds read from the middle of a noise of 300 s, against decoding all of it, for WAV and FLAC.
All audio is made here, in a temporary folder.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from measure import Table, parser, report

from spk.bin.make_feats import open_front_end
from spk.data.augmentation import Addition, Augmentation, augment, read_noise
from spk.data.features import Source, describe, make_share

RATE = 16000
# Reads a file and a noise, and writes the mixture to where a pipe would lead.
ONE_FILE = """
import sys, numpy, soundfile
speech = soundfile.read(sys.argv[1], dtype="float32")[0]
noise = numpy.resize(soundfile.read(sys.argv[2], dtype="float32")[0], len(speech))
noise *= numpy.sqrt((speech**2).mean() / (noise**2).mean() / 10)
soundfile.write(sys.argv[3], speech + noise, 16000)
"""


def seconds_of(work: Callable[[], object], times: int = 1) -> float:
    begin = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - begin) / times


def compare_processes(folder: Path, num_utterances: int) -> Table:
    random = np.random.default_rng(0)
    noise, room = str(folder / "noise.wav"), str(folder / "room.wav")
    soundfile.write(noise, 0.1 * random.normal(size=20 * RATE), RATE)
    soundfile.write(room, 0.1 * random.normal(size=RATE // 2) * np.exp(-np.arange(RATE // 2) / 1000), RATE)
    clean, augmented = {}, {}
    for number in range(num_utterances):
        path = str(folder / f"{number:04d}.flac")
        soundfile.write(path, 0.1 * random.normal(size=8 * RATE), RATE)
        plan = Augmentation(rir=room) if number % 2 else Augmentation(additions=(Addition(noise, 3.0, 10.0),))
        clean[path], augmented[path] = Source(path), Source(path, augmentation=plan.to_json())
    front_end = open_front_end({"name": "fbank40"}, None)

    def features(sources: dict[str, Source], name: str) -> None:
        made_from = describe(sources, {"name": "fbank40"}, 1, str(folder))
        make_share(sources, folder / name, made_from, lambda: front_end, allow_pipes=False)

    def processes() -> None:
        for path in clean:
            subprocess.run([sys.executable, "-c", ONE_FILE, path, noise, folder / "mixed.wav"], check=True)

    features(dict(list(clean.items())[:2]), "warm")  # what is imported and built but once
    augment(np.ones(RATE, np.float32), RATE, Augmentation(rir=room))
    alone, planned, piped = (seconds_of(work) for work in (
        lambda: features(clean, "clean"), lambda: features(augmented, "augmented"), processes
    ))  # fmt: skip
    table = Table(
        f"Augmented features of {num_utterances} utterances of 8 s, one core",
        ["way", "ms an utterance", "ratio"],
    )
    for name, seconds, ratio in (
        ("features of clean speech", alone, None),
        ("features that follow a plan", planned, None),
        ("a process for each file, then features", piped + alone, (piped + alone) / planned),
    ):
        table.add(name, 1000 * seconds / num_utterances, ratio)
    return table


def compare_reading(folder: Path) -> Table:
    table = Table(
        "4 s out of the middle of a noise of 300 s", ["file", "ms", "ms decoded whole", "ratio to decoding it whole"]
    )
    samples = 0.1 * np.random.default_rng(0).normal(size=300 * RATE)
    for suffix in ("wav", "flac"):
        path = str(folder / f"long.{suffix}")
        soundfile.write(path, samples, RATE)
        part = seconds_of(lambda path=path: read_noise(path, 150.0, 4 * RATE, RATE), 20)
        whole = seconds_of(lambda path=path: soundfile.read(path, dtype="float32")[0][150 * RATE : 154 * RATE], 5)
        table.add(suffix, 1000 * part, 1000 * whole, whole / part)
    return table


def main() -> None:
    options = parser(__doc__, rounds=1, utterances=60).parse_args()
    logging.disable()
    with tempfile.TemporaryDirectory() as folder:
        tables = compare_processes(Path(folder), options.utterances), compare_reading(Path(folder))
    report(options, *tables)


if __name__ == "__main__":
    main()
