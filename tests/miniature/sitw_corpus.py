"""Speakers in the Wild as it is distributed: {dev,eval}/{audio,keys,lists}, by the README that comes with it.

Each speaker has one file to enroll from (core), one with another speaker in the middle, in which two pieces are
annotated (assist), two test files (core) and one with another speaker at its end (multi). Enrolled and test files
share no speech.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from miniature.packing import audio_bytes, md5
from miniature.source_speech import RATE

NUM_UTTERANCES = 5
ENROLL, TEST = ("core", "assist", "assistclean"), ("core", "multi")
META = {1: "clean 0 interview none", 2: "noise,reverb 2 interview laughter,overlap"}
MICROPHONES = ("studio", "video", "lavalier")


@dataclass(frozen=True)
class Recording:
    """A file of one speaker of interest. `heard`: everyone who speaks in it."""

    path: str
    speaker: str
    heard: frozenset[str]


@dataclass(frozen=True)
class Model:
    """An enrolled speaker: the file and its annotated pieces in seconds (none: all of the file)."""

    name: str
    recording: Recording
    pieces: tuple[tuple[float, float], ...] = ()


class SitwPart:
    """The dev or the eval part while it is made. `spoken`: speaker -> (gender, five utterances of int16)."""

    def __init__(self, folder: Path, spoken: dict[str, tuple[str, Sequence[np.ndarray]]], generator: random.Random):
        self.folder, self.spoken, self.generator = folder, spoken, generator
        self.names: set[str] = set()
        self.meta: list[str] = []
        self.sums: list[str] = []
        self.models: dict[str, list[Model]] = {condition: [] for condition in ENROLL}
        self.tests: dict[str, list[Recording]] = {condition: [] for condition in TEST}

    def write(self) -> None:
        for subfolder in ("audio", "keys", "lists"):
            (self.folder / subfolder).mkdir(parents=True)
        speakers = list(self.spoken)
        for position, speaker in enumerate(speakers):
            other = speakers[(position + 1) % len(speakers)]
            self.add_speaker(speaker, other, twin=position == 0)
        self.write_lists()

    def add_speaker(self, speaker: str, other: str, twin: bool) -> None:
        """The files and models of `speaker`; `twin`: the last file also stands there as one of `other`'s."""
        said, others = self.spoken[speaker][1], self.spoken[other][1]
        core = self.record([speaker], np.concatenate([said[0], said[1]]))
        self.models["core"].append(Model(self.draw_number(), core))
        shared = self.record([speaker, other], np.concatenate([said[0], others[1], said[4]]))
        cuts = np.cumsum([0, len(said[0]), len(others[1]), len(said[4])]) / RATE
        # To the hundredth, inwards: a piece never reaches into the other's speech.
        pieces = [(up(begin), down(end)) for begin, end in ((cuts[0], cuts[1]), (cuts[2], cuts[3]))]
        self.models["assist"].append(Model(self.draw_number(), shared, tuple(pieces)))
        self.models["assistclean"].append(Model(self.draw_number(), shared, (pieces[0],)))
        single = [self.record([speaker], samples) for samples in said[2:4]]
        self.tests["core"] += single
        both = np.concatenate([said[3], others[2]])
        session = self.draw_number(6)
        self.tests["multi"] += [*single, self.record([speaker, other], both, session)]
        if twin:
            self.tests["multi"].append(self.record([other, speaker], both, session))

    def record(self, heard: Sequence[str], samples: np.ndarray, session: str = "") -> Recording:
        """Write a file of the speaker of interest, `heard[0]`, with its line of meta data and its checksum."""
        path = f"audio/{self.draw_name(5, string.ascii_lowercase)}.flac"
        content = audio_bytes(samples, RATE, "FLAC")
        (self.folder / path).write_bytes(content)
        self.sums.append(f"{md5(content)}  {path}\n")
        begin = self.generator.randrange(500)
        gender = self.spoken[heard[0]][0]
        fields = [path, heard[0], gender, self.generator.choice(MICROPHONES), session or self.draw_number(6)]
        number = f"{len(heard)}+" if len(heard) > 1 and self.generator.random() < 0.5 else str(len(heard))
        fields += [str(begin), str(begin + round(len(samples) / RATE)), number, META[len(heard)]]
        self.meta.append(" ".join(fields) + "\n")
        return Recording(path, heard[0], frozenset(heard))

    def draw_name(self, length: int, letters: str) -> str:
        """A name that this part has not yet."""
        name = ""
        while not name or name in self.names:
            name = "".join(self.generator.choices(letters, k=length))
        self.names.add(name)
        return name

    def draw_number(self, length: int = 5) -> str:
        return self.generator.choice("123456789") + self.draw_name(length - 1, string.digits)

    def write_lists(self) -> None:
        for condition, models in self.models.items():
            self.write_lines(
                f"lists/enroll-{condition}.lst", (line for model in models for line in enroll_lines(model))
            )
        for condition, recordings in self.tests.items():
            self.write_lines(f"lists/test-{condition}.lst", (f"{recording.path}\n" for recording in recordings))
        for enroll in ENROLL:
            for test in TEST:
                trials = [
                    (model, recording)
                    for model in self.models[enroll]
                    for recording in self.tests[test]
                    # Where a speaker is heard in another's file, the trial has no clear answer.
                    if recording.speaker == model.recording.speaker or model.recording.speaker not in recording.heard
                ]
                pairs = [f"{model.name} {recording.path}" for model, recording in trials]
                truth = ["tgt" if model.recording.speaker == other.speaker else "imp" for model, other in trials]
                self.write_lines(f"lists/trial.{enroll}-{test}.lst", (f"{pair}\n" for pair in pairs))
                self.write_lines(
                    f"keys/{enroll}-{test}.lst", (f"{pair} {key}\n" for pair, key in zip(pairs, truth, strict=True))
                )
        self.write_lines("keys/meta.lst", sorted(self.meta))
        self.write_lines("lists/audio_md5sum.lst", sorted(self.sums, key=lambda line: line.split()[1]))

    def write_lines(self, name: str, lines: Iterable[str]) -> None:
        (self.folder / name).write_text("".join(lines))


def enroll_lines(model: Model) -> list[str]:
    if not model.pieces:
        return [f"{model.name} {model.recording.path}\n"]
    return [f"{model.name} {model.recording.path} {begin:.3f} {end:.3f}\n" for begin, end in model.pieces]


def up(seconds: float) -> float:
    return float(np.ceil(np.round(seconds * 100, 6)) / 100)


def down(seconds: float) -> float:
    return float(np.floor(np.round(seconds * 100, 6)) / 100)


def draw_speaker_names(number: int, generator: random.Random) -> list[str]:
    """SITW's names of speakers: four capitals."""
    names: list[str] = []
    while len(names) < number:
        name = "".join(generator.choices(string.ascii_uppercase, k=4))
        if name not in names:
            names.append(name)
    return names
