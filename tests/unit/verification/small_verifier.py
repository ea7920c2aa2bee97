"""A small untrained network as training leaves it, with what else a system in use has."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile
import torch
import yaml

from spk.config import make_system
from spk.data.ark import FeatureReader
from spk.data.features import describe, join_shares, make_share, read_sources
from spk.embed.embeddings import embed
from spk.embed.model import load_model, save_model
from spk.embed.write import write_embeddings
from spk.feats import FRONT_ENDS
from spk.feats.analysis import OneByOne
from spk.nets.embedder import build_embedder

ROOT = Path(__file__).resolve().parents[3]
NETWORK = {"name": "fast_resnet34", "channels": 0.25, "embedding_dim": 6}


def small_system(folder: Path, crops: int = 0, backend: str | dict | None = None) -> Path:
    content = yaml.safe_load((ROOT / "egs/voxceleb/conf/fast_resnet34_softmax.yaml").read_text())
    evaluation = {"crops": crops, "crop_frames": 60, "backend": backend}
    content |= {"features": {"name": "fbank40"}, "network": NETWORK, "evaluation": evaluation}
    config = make_system(content, "system")
    torch.manual_seed(0)
    embedder = build_embedder(config.normalization, config.network, num_bins=40)
    folder.mkdir(parents=True, exist_ok=True)
    save_model(folder, config, 40, embedder.state_dict(), step=1)
    return folder


def calibrated(exp: Path, weight: float, offset: float, backends: tuple[str, ...] = ("cosine",)) -> Path:
    (exp / "calibration").mkdir(exist_ok=True)
    description = {
        "weights": [weight],
        "offset": offset,
        "backends": list(backends),
        "quality": [],
        "duration_table": None,
        "cohort_length": None,
    }
    (exp / "calibration/calibration.json").write_text(json.dumps(description))
    return exp


def embedded_by_the_recipe(exp: Path, folder: Path, names: list[str]) -> Path:
    """FOLDER/embedding.scp of a recording for each name, by way of an ark that the front end's method compresses."""
    folder.mkdir()
    for seed, name in enumerate(names):
        write_wave(folder / f"{name}.wav", noise(1.5 + 0.4 * (seed % 4), seed))
    (folder / "wav.scp").write_text("".join(f"{name} {folder / name}.wav\n" for name in names))
    front_end = FRONT_ENDS.build("features", "fbank40")
    sources = read_sources(folder, allow_pipes=False)
    made_from = describe(sources, {"name": "fbank40"}, front_end.compression, str(folder))
    make_share(sources, folder / "f.1", made_from, lambda: OneByOne(front_end), allow_pipes=False)
    join_shares(folder, [folder / "f.1"], max_rejected=0)
    reader = FeatureReader(folder / "feats.scp")
    embedder, content = load_model(exp)
    evaluation = make_system(content, "system").evaluation
    write_embeddings(str(folder / "embedding"), names, embed(embedder, reader, reader.num_frames(), evaluation))
    return folder


def noise(seconds: float, seed: int = 0, rate: int = 16000) -> np.ndarray:
    """Of a spectrum of its own: filtered by a few random taps."""
    random = np.random.default_rng(seed)
    samples = np.convolve(random.standard_normal(int(seconds * rate)), random.standard_normal(8), mode="same")
    return (0.02 * samples).astype(np.float32)


def write_wave(path: Path, samples: np.ndarray, rate: int = 16000) -> Path:
    soundfile.write(path, samples, rate, subtype="FLOAT" if path.suffix == ".wav" else None)
    return path
