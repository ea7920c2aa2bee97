"""A tiny corpus for recipe tests: each speaker a buzz of own pitch and own resonances, in VoxCeleb's layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

RATE = 16000


def buzz(speaker: int, seconds: float, random: np.random.Generator) -> np.ndarray:
    """Harmonics of a wavering pitch under three resonances of the speaker, with a little noise: [samples] in +-1."""
    own = np.random.default_rng(speaker)
    pitch, resonances = own.uniform(80, 250), np.sort(own.uniform(300, 3500, size=3))
    time = np.arange(int(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(pitch * (1 + 0.1 * np.sin(2 * np.pi * random.uniform(1, 3) * time))) / RATE
    frequencies = pitch * np.arange(1, int(4000 / pitch))
    gains = (1 / (1 + ((frequencies[:, None] - resonances) / 150) ** 2)).sum(axis=1)
    wave = (gains[:, None] * np.sin(np.arange(1, len(frequencies) + 1)[:, None] * phase)).sum(axis=0)
    wave *= 0.5 + 0.5 * np.sin(2 * np.pi * 4 * time + random.uniform(0, 6))  # syllables
    return (0.3 * wave / np.abs(wave).max() + 0.01 * random.standard_normal(len(time))).astype(np.float32)


def make_corpus(folder: Path, *, train_speakers: int, test_speakers: int, utterances: int, seconds: float) -> Path:
    """Write wav/<speaker>/<session>/<utterance>.wav and speakers.tsv."""
    lines = ["speaker\tsplit"]
    for speaker in range(train_speakers + test_speakers):
        name = f"{folder.name}{speaker:03d}"
        lines.append(f"{name}\t{'train' if speaker < train_speakers else 'test'}")
        for utterance in range(utterances):
            path = folder / "wav" / name / f"s{utterance % 2}" / f"u{utterance:02d}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            random = np.random.default_rng([speaker, utterance])
            soundfile.write(path, buzz(speaker, seconds * random.uniform(0.7, 1.3), random), RATE)
    (folder / "speakers.tsv").write_text("\n".join(lines) + "\n")
    return folder
