"""A data directory with drawn features and voice activity."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spk.embed.write import write_embeddings

DIM = 4


def write_data(folder: Path, num_frames: list[int], seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """FOLDER/feats.scp and vad.scp of utterances u0, u1, ...: (features [T, DIM], voice [T]) of each, as written.

    Frames stay near one of eight points for a while; two of three have voice.
    """
    random = np.random.default_rng(seed)
    points = 3 * random.standard_normal((8, DIM))
    features, voices = [], []
    for count in num_frames:
        places = np.repeat(random.integers(8, size=count // 10 + 1), 10)[:count]
        features.append((points[places] + random.standard_normal((count, DIM))).astype(np.float32))
        voices.append((random.random(count) < 2 / 3).astype(np.float32))
    rewrite(folder, features, voices)
    return features, voices


def rewrite(folder: Path, features: list[np.ndarray], voices: list[np.ndarray]) -> None:
    names = [f"u{number}" for number in range(len(features))]
    write_embeddings(str(folder / "feats"), names, features)
    write_embeddings(str(folder / "vad"), names, voices)
