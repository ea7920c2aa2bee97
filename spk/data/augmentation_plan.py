"""Draw what is done to each utterance: a function of the seed, its name, its length and the noises, not of any order.

Kinds and their numbers are those of Kaldi's recipe for VoxCeleb (egs/voxceleb/v2): noises one after another, each with
a signal-to-noise ratio (SNR) of its own; one piece of music under the whole utterance; babble, three to seven speakers
at once, each with an SNR of its own, that of one speaker; a room. Unlike there, a stretch of a longer recording begins
anywhere in it, not always at its beginning.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from spk.data.augmentation import Addition, Augmentation
from spk.data.data_dir import at
from spk.data.noise_dir import NoiseSet
from spk.errors import InputError

NOISE_INTERVAL = 1.0  # seconds between one foreground noise and the next
BABBLE_SPEAKERS = (3, 4, 5, 6, 7)
Uniform = Callable[[], float]


@dataclass(frozen=True)
class Drawing:
    """What is drawn from. A kind is used where it has something to draw from; SNRs are in dB."""

    noises: NoiseSet | None = None
    music: NoiseSet | None = None
    babble: NoiseSet | None = None
    rirs: NoiseSet | None = None
    noise_snrs: tuple[float, ...] = (15, 10, 5, 0)
    music_snrs: tuple[float, ...] = (15, 10, 8, 5)
    babble_snrs: tuple[float, ...] = (20, 17, 15, 13)
    speeds: tuple[float, ...] = ()
    rir_probability: float = 0.0  # of a room beside noise, music or babble
    seed: int = 1

    def kinds(self) -> list[str]:
        sets = {"noise": self.noises, "music": self.music, "babble": self.babble, "reverb": self.rirs}
        return [kind for kind, noises in sets.items() if noises] + [speed_kind(speed) for speed in self.speeds]

    def draw(self, kind: str, utterance: str, seconds: float) -> Augmentation:
        """One of `kinds` for an utterance of so many seconds."""
        uniform = self.uniform(kind, utterance)
        if kind.startswith("sp"):
            return Augmentation(speed=float(kind[2:]))
        reverberant = kind == "reverb" or (self.rir_probability > 0 and uniform() < self.rir_probability)
        rir = pick(self.rirs.paths, uniform) if reverberant else None
        if kind == "noise":
            return Augmentation(rir=rir, additions=foreground(self.noises, self.noise_snrs, seconds, uniform))
        if kind == "music":
            return Augmentation(rir=rir, additions=background(self.music, self.music_snrs, 1, seconds, uniform))
        if kind == "babble":
            count = pick(BABBLE_SPEAKERS, uniform)
            return Augmentation(rir=rir, additions=background(self.babble, self.babble_snrs, count, seconds, uniform))
        return Augmentation(rir=rir)

    def draw_kind(self, utterance: str) -> str:
        return pick(self.kinds(), self.uniform("kind", utterance))

    def uniform(self, purpose: str, utterance: str) -> Uniform:
        return hashed_numbers(f"{self.seed} {purpose} {utterance}".encode("utf-8", "surrogateescape")).__next__


def hashed_numbers(key: bytes) -> Iterator[float]:
    """Numbers from 0 to below 1, of 53 bits as floats hold them: the same for a key everywhere and for ever."""
    for block in itertools.count():
        digest = hashlib.blake2b(key, salt=block.to_bytes(8, "little")).digest()
        for number in struct.unpack("<8Q", digest):
            yield (number >> 11) * 2.0**-53


def speed_kind(speed: float) -> str:
    return f"sp{speed:g}"


def choose_copies(
    drawing: Drawing, utterances: Sequence[str], each: bool, number: int | None = None
) -> tuple[list[str], list[int]]:
    """The copies' kinds and the utterances that they are of, by their places among these sorted ones.

    They are one of every kind of `each` utterance, else one of a kind drawn; with `number` so many of these, drawn
    without replacement. InputError when there are fewer.
    """
    kinds, rows = drawing.kinds(), list(range(len(utterances)))
    if each:
        kinds, rows = [kind for kind in kinds for _ in rows], rows * len(kinds)
    else:
        kinds = list(map(drawing.draw_kind, utterances))
    if number is None:
        return kinds, rows
    if number > len(rows):
        raise InputError(f"--number {number}: there are only {len(rows)} copies to draw from")
    chosen = np.sort(np.random.default_rng(drawing.seed).choice(len(rows), number, replace=False)).tolist()
    return at(kinds, chosen), at(rows, chosen)


def foreground(noises: NoiseSet, snrs: Sequence[float], seconds: float, uniform: Uniform) -> tuple[Addition, ...]:
    """Noises one after another, with pauses, until the utterance ends."""
    additions, begins = [], 0.0
    while begins < seconds:
        index = int(uniform() * len(noises.paths))
        path, duration, left = noises.paths[index], noises.durations[index], seconds - begins
        begin = draw_begin(duration, left, uniform)
        length = duration if duration < left else None
        additions.append(Addition(path, begin, pick(snrs, uniform), at=round(begins, 3), seconds=length))
        begins += duration + NOISE_INTERVAL
    return tuple(additions)


def background(
    noises: NoiseSet, snrs: Sequence[float], count: int, seconds: float, uniform: Uniform
) -> tuple[Addition, ...]:
    """`count` noises at once, each under the whole utterance."""
    additions = []
    for _ in range(count):
        index = int(uniform() * len(noises.paths))
        begin = draw_begin(noises.durations[index], seconds, uniform)
        additions.append(Addition(noises.paths[index], begin, pick(snrs, uniform)))
    return tuple(additions)


def draw_begin(duration: float, wanted: float, uniform: Uniform) -> float:
    """Where in a noise of `duration` a stretch of the `wanted` seconds begins: anywhere that it fits, else at 0."""
    return math.floor(1000 * uniform() * max(0.0, duration - wanted)) / 1000


def pick(items: Sequence, uniform: Uniform):
    return items[int(uniform() * len(items))]
