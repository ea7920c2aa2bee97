"""Drawn weights by the names of clovaai/voxceleb_trainer, and what its code makes of two waves with them.

tests/data/voxceleb_trainer holds the waves (32240 samples in ±1, 16 kHz), and for each network the names and shapes of
its tensors, the seed of their values, and the embeddings [2, D] that its own code computes in evaluation mode.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

DATA = Path(__file__).resolve().parents[2] / "data/voxceleb_trainer"

# Name there -> the sections of a system that describe it.
SYSTEMS = {
    "ResNetSE34L": {"features": {"name": "fbank40", "window": "hamming"}, "network": "fast_resnet34"},
    "ResNetSE34": {"features": {"name": "spectrogram257", "window": "hann"}, "network": "thin_resnet34"},
    "VGGVox": {"features": {"name": "fbank40", "window": "hann"}, "network": "vgg_m_40"},
}
REST = {
    "loss": "softmax",
    "optimizer": {"name": "adam", "lr": 0.001},
    "schedule": "constant",
    "train": {"steps": 1},
}


def waves() -> torch.Tensor:
    return torch.from_numpy(np.load(DATA / "wave.npz")["wave"])


def embeddings(network: str) -> np.ndarray:
    return np.load(DATA / f"{network}.npz")["embedding"]


def state_dict(network: str) -> dict[str, torch.Tensor]:
    """Each tensor from a generator of its own, seeded with the file's seed and the name's place in sorted order."""
    file = np.load(DATA / f"{network}.npz")
    shapes = {
        str(name): tuple(map(int, str(shape).split()))
        for name, shape in zip(file["names"], file["shapes"], strict=True)
    }
    state = {}
    for place, name in enumerate(sorted(shapes)):
        values = draw(np.random.default_rng([int(file["seed"]), place]), name, shapes[name])
        state[name] = torch.from_numpy(np.asarray(values))
    return state


def draw(random: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    kind = name.rsplit(".", 1)[-1]
    if kind == "num_batches_tracked":
        return np.int64(7)
    if kind == "running_var":
        return random.uniform(0.5, 1.5, shape).astype(np.float32)
    if kind in ("running_mean", "bias"):
        return random.normal(0, 0.1, shape).astype(np.float32)
    if len(shape) == 1:  # scales of batch norms
        return random.uniform(0.7, 1.3, shape).astype(np.float32)
    return (random.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
