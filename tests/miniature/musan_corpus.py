"""MUSAN: musan/{noise,music,speech}/<source>/<kind>-<source>-0000.wav with ANNOTATIONS and LICENSE beside them.

Noises are real ones where there are any; music is made here: chords of decaying harmonics.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from miniature.packing import audio_bytes
from miniature.source_speech import RATE

SOURCES = {
    "noise": ("free-sound", "sound-bible"),
    "music": ("fma", "fma-western-art", "hd-classical", "jamendo", "rfm"),
    "speech": ("librivox", "us-gov"),
}
NOISE_SECONDS, MUSIC_SECONDS = 5.0, 6.0


def musan_members(
    noise_rir: Path | None, speech: Sequence[tuple[str, np.ndarray]], number: int, generator: np.random.Generator
) -> dict[str, bytes]:
    """Member of musan.tar.gz -> content: `number` noises, as much music, and all `speech` (gender, int16 [S])."""
    noises = [(read_noise(path), "") for path in find_noises(noise_rir)[:number]]
    noises += [(draw_noise(generator), "") for _ in range(number - len(noises))]
    music = [(play_music(generator), ("classical N Nobody", "pop,rock Y The_Somebodies")[i % 2]) for i in range(number)]
    spoken = [(samples, f"{gender} english") for gender, samples in speech]
    members = {"musan/README": b"MUSAN in miniature: a corpus of music, speech, and noise\n"}
    for kind, recordings in (("noise", noises), ("music", music), ("speech", spoken)):
        for place, source in enumerate(SOURCES[kind]):
            own = recordings[place :: len(SOURCES[kind])]
            folder, names = f"musan/{kind}/{source}", [f"{kind}-{source}-{i:04d}" for i in range(len(own))]
            if not own:
                continue
            for name, (samples, _) in zip(names, own, strict=True):
                members[f"{folder}/{name}.wav"] = audio_bytes(samples, RATE)
            lines = [f"{name} {note}".rstrip() for name, (_, note) in zip(names, own, strict=True)]
            members[f"{folder}/ANNOTATIONS"] = ("\n".join(lines) + "\n").encode()
            members[f"{folder}/LICENSE"] = "".join(f"{name}\nPublic Domain\n\n" for name in names).encode()
    return members


def find_noises(noise_rir: Path | None) -> list[Path]:
    """One of each class, then a second of each, and so on."""
    if noise_rir is None:
        return []
    classes = [sorted(folder.glob("*.flac")) for folder in sorted((noise_rir / "noise").glob("*/"))]
    ranked = [(rank, path) for files in classes for rank, path in enumerate(files)]
    return [path for _, path in sorted(ranked)]


def read_noise(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="int16")[0]


def draw_noise(generator: np.random.Generator) -> np.ndarray:
    """Noise through a drawn one-pole low-pass, in slow waves: float [S] in ±1."""
    size = int(NOISE_SECONDS * RATE)
    kernel = generator.uniform(0.3, 0.99) ** np.arange(200)
    noise = np.convolve(generator.standard_normal(size), kernel)[:size]
    waves = 1 + 0.5 * np.sin(2 * np.pi * generator.uniform(0.3, 3) * np.arange(size) / RATE)
    return 0.3 * waves * noise / np.abs(waves * noise).max()


def play_music(generator: np.random.Generator) -> np.ndarray:
    """Chords of three notes of a drawn key, half a second each: float [S] in ±1."""
    key = generator.uniform(110, 220)
    time = np.arange(RATE // 2) / RATE
    chords = []
    for _ in range(int(MUSIC_SECONDS * 2)):
        notes = key * 2 ** (generator.choice([0, 2, 4, 5, 7, 9, 11, 12], size=3, replace=False) / 12)
        harmonics = notes[:, None] * np.arange(1, 7)
        chord = (np.sin(2 * np.pi * harmonics[..., None] * time) / np.arange(1, 7)[:, None]).sum(axis=(0, 1))
        chords.append(chord * np.exp(-3 * time))
    music = np.concatenate(chords)
    return 0.3 * music / np.abs(music).max()
