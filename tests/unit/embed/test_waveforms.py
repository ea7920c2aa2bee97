"""Embeddings straight from waveforms, against those of the recipe's own way: an ark, and the network on each alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from spk.config import make_system
from spk.data.ark import FeatureReader
from spk.data.features import describe, join_shares, make_share, read_sources
from spk.embed.embeddings import embed
from spk.embed.model import save_model
from spk.embed.waveforms import WaveformEmbedder
from spk.errors import InputError
from spk.feats import FRONT_ENDS
from spk.feats.analysis import OneByOne
from spk.nets.embedder import build_embedder

ROOT = Path(__file__).resolve().parents[3]
NETWORK = {"name": "fast_resnet34", "channels": 0.25, "embedding_dim": 6}


def system(folder: Path, crops: int = 0) -> Path:
    content = yaml.safe_load((ROOT / "egs/voxceleb/conf/fast_resnet34_softmax.yaml").read_text())
    content |= {"features": {"name": "fbank40"}, "network": NETWORK, "evaluation": {"crops": crops, "crop_frames": 60}}
    config = make_system(content, "system")
    torch.manual_seed(0)
    embedder = build_embedder(config.normalization, config.network, num_bins=40)
    folder.mkdir(exist_ok=True)
    save_model(folder, config, 40, embedder.state_dict(), step=1)
    return folder


@pytest.fixture(scope="module")
def exp(tmp_path_factory) -> Path:
    return system(tmp_path_factory.mktemp("exp") / "whole")


def speech(lengths: list[int]) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {f"u{i}": (0.1 * random.standard_normal(length)).astype(np.float32) for i, length in enumerate(lengths)}


@pytest.mark.parametrize("crops", [0, 3])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_equal_to_what_the_recipe_makes_of_the_files(crops, rate, tmp_path):
    exp = system(tmp_path / "exp", crops)
    # The last is shorter than a crop, and than what the network takes.
    waves = speech([30000, 48001, 23456, 1500])
    data = tmp_path / "data"
    data.mkdir()
    for name, wave in waves.items():
        soundfile.write(data / f"{name}.wav", wave, rate, subtype="FLOAT")
    (data / "wav.scp").write_text("".join(f"{name} {data / name}.wav\n" for name in waves))
    sources = read_sources(data, allow_pipes=False)
    front_end = OneByOne(FRONT_ENDS.build("features", "fbank40"))
    made_from = describe(sources, {"name": "fbank40"}, 0, str(data))
    make_share(sources, tmp_path / "f.1", made_from, lambda: front_end, allow_pipes=False)
    join_shares(data, [tmp_path / "f.1"], max_rejected=0)
    reader = FeatureReader(data / "feats.scp")
    embedder = WaveformEmbedder.load(exp)
    expected = embed(embedder.embedder, reader, reader.num_frames(), embedder.evaluation)
    given = list(waves.values())
    given[1] = torch.from_numpy(given[1])
    embeddings = embedder(given, rate)
    assert embeddings.dtype == np.float32 and embeddings.shape == ((4, 6) if not crops else (4, crops, 6))
    np.testing.assert_allclose(embeddings, expected, atol=1e-5)


def test_no_more_samples_are_analysed_at_once_than_fit(exp, monkeypatch):
    embedder, waves = WaveformEmbedder.load(exp), list(speech([16000, 5000, 9000, 8000, 7000]).values())
    expected = embedder(waves, 16000)
    analysis, counts = embedder.features, []
    analysis.samples_at_once = 20000
    monkeypatch.setattr(type(analysis), "__call__", counted(type(analysis).__call__, counts))
    np.testing.assert_allclose(embedder(waves, 16000), expected, atol=1e-5)
    assert counts == [2, 3]


def counted(function, counts: list[int]):
    def call(self, waves):
        counts.append(len(waves))
        return function(self, waves)

    return call


def test_each_is_what_it_is_alone(exp):
    embedder = WaveformEmbedder.load(exp)
    waves = list(speech([16000, 5000, 64000, 16001]).values())
    alone = np.concatenate([embedder([wave], 16000) for wave in waves])
    np.testing.assert_allclose(embedder(waves, 16000), alone, atol=1e-5)


@pytest.mark.parametrize(
    "wave, rate, message",
    [
        (np.zeros(0, np.float32), 16000, "wave 1: is empty"),
        (np.zeros(100, np.float32), 16000, "wave 1: too short: 100 samples at 16000 Hz"),
        (np.full(9000, np.nan, np.float32), 16000, "wave 1: 9000 values are not finite"),
        (np.zeros((2, 9000), np.float32), 16000, r"wave 1: is of the shape \[2, 9000\]; give one channel"),
        (np.zeros(9000, np.int16), 16000, "wave 1: holds int16; give floating point"),
        (np.zeros(9000, np.float32), 8000, "wave 0: sampled at 8000 Hz; the features need 16000 Hz"),
    ],
)
def test_what_cannot_be_embedded_is_said_with_its_place(wave, rate, message, exp):
    with pytest.raises(InputError, match=message):
        WaveformEmbedder.load(exp)([speech([9000])["u0"], wave], rate)


def test_nothing_to_embed_and_no_network_are_said(exp, tmp_path):
    with pytest.raises(InputError, match="no wave"):
        WaveformEmbedder.load(exp)([], 16000)
    with pytest.raises(InputError, match=r"final\.pt"):
        WaveformEmbedder.load(tmp_path)
