"""The speech that a miniature is built from: wav/<speaker>/<session>/<utterance>, a speaker's utterances in order."""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from spk.errors import InputError

RATE = 16000
AUDIO = (".flac", ".wav")
SHORTEST = 1.0  # seconds


@dataclass(frozen=True)
class SourceSpeaker:
    """Someone whose speech is used. `utterances`: the first files, as many as were asked for."""

    name: str
    gender: str  # m or f
    utterances: tuple[Path, ...]


def read_speakers(folder: Path, num_speakers: int, num_utterances: int, seed: int) -> list[SourceSpeaker]:
    """`num_speakers` of the speakers below `folder`/wav who have at least `num_utterances` files, drawn by `seed`.

    Genders are those of speakers.tsv; where it tells none they alternate, since lists are made by gender.

    Raises: InputError when there are too few such speakers.
    """
    genders = read_genders(folder / "speakers.tsv")
    speakers = []
    for position, entry in enumerate(sorted((folder / "wav").glob("*/"))):
        files = sorted(path for path in entry.glob("*/*") if path.suffix in AUDIO)
        gender = genders.get(entry.name, "mf"[position % 2])
        if len(files) >= num_utterances:
            speakers.append(SourceSpeaker(entry.name, gender, tuple(files[:num_utterances])))
    if len(speakers) < num_speakers:
        raise InputError(
            f"{folder}: {len(speakers)} speakers have {num_utterances} utterances or more (wav/<speaker>/<session>/"
            f"<utterance>.flac), the miniature needs {num_speakers}; ask for fewer speakers or utterances"
        )
    return random.Random(f"speakers {seed}").sample(speakers, num_speakers)


def read_genders(table: Path) -> dict[str, str]:
    if not table.exists():
        return {}
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {row["speaker"]: row["gender"] for row in rows if row.get("gender") in ("m", "f")}


def read_speech(path: Path, longest: float) -> np.ndarray:
    """The first `longest` seconds of a file: int16 [S].

    Raises: InputError unless it is 16 kHz, mono and lasts 1 s or more.
    """
    try:
        samples, rate = soundfile.read(path, dtype="int16", frames=int(longest * RATE))
    except soundfile.LibsndfileError as error:
        raise InputError(f"{path}: not audio: {error.error_string}") from None
    if rate != RATE or samples.ndim != 1:
        raise InputError(f"{path}: {rate} Hz and {samples.ndim} dimensions; a miniature is made of 16 kHz, mono")
    if len(samples) < SHORTEST * RATE:
        raise InputError(f"{path}: {len(samples) / RATE:.2f} s; a miniature is made of utterances of 1 s or more")
    return samples
