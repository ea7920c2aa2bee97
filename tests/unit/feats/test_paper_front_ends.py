"""The papers' front ends against their definitions, written out frame by frame in float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from spk.feats import FRONT_ENDS

WAV = Path(__file__).parents[2] / "data" / "kaldi" / "wav"


def cosine_window(name: str, length: int, period: int) -> np.ndarray:
    mean = {"hamming": 0.54, "hann": 0.5}[name]
    return np.array([mean - (1 - mean) * np.cos(2 * np.pi * i / period) for i in range(length)])


def dft_magnitudes(frame: np.ndarray) -> np.ndarray:
    n = len(frame)
    angles = 2 * np.pi * np.outer(np.arange(n // 2 + 1), np.arange(n)) / n
    return np.hypot(np.cos(angles) @ frame, np.sin(angles) @ frame)


def htk_mel_filters() -> np.ndarray:
    """[257, 40]: triangles between points that lie evenly on 2595 log10(1 + f / 700), linear in Hz."""
    points = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 42) / 2595) - 1)
    filters = np.zeros((257, 40))
    for b, frequency in enumerate(np.linspace(0, 8000, 257)):
        for m in range(40):
            rising = (frequency - points[m]) / (points[m + 1] - points[m])
            falling = (points[m + 2] - frequency) / (points[m + 2] - points[m + 1])
            filters[b, m] = max(0.0, min(rising, falling))
    return filters


def naive_fbank40(wave: np.ndarray, window: str) -> np.ndarray:
    reflected = np.concatenate([wave[256:0:-1], wave, wave[-2:-258:-1]])
    weights = np.zeros(512)
    weights[56:456] = cosine_window(window, 400, 400)
    filters = htk_mel_filters()
    frames = [reflected[start : start + 512] * weights for start in range(0, len(wave) + 1, 160)]
    return np.stack([np.log(dft_magnitudes(frame) ** 2 @ filters + 1e-6) for frame in frames])


def naive_spectrogram257(wave: np.ndarray, window: str) -> np.ndarray:
    weights = np.zeros(512)
    weights[56:456] = cosine_window(window, 400, 400)
    return np.stack([dft_magnitudes(wave[s : s + 512] * weights) for s in range(0, len(wave) - 511, 160)])


def naive_spectrogram161(wave: np.ndarray, window: str) -> np.ndarray:
    weights = cosine_window(window, 320, 319)
    frames = [dft_magnitudes(wave[s : s + 320] * weights) for s in range(0, len(wave) - 319, 160)]
    return np.log(np.square(np.stack(frames)) + 1e-6)


NAIVE = {"fbank40": naive_fbank40, "spectrogram257": naive_spectrogram257, "spectrogram161": naive_spectrogram161}


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return soundfile.read(WAV / "utt1.wav", dtype="float32")[0][:8123]


@pytest.mark.parametrize("name", NAIVE)
@pytest.mark.parametrize("window", ["hamming", "hann"])
def test_features_equal_the_definition(name, window, speech):
    front_end = FRONT_ENDS.build("features", {"name": name, "window": window})
    features = front_end(torch.from_numpy(speech)[None])[0].numpy()
    expected = NAIVE[name](speech.astype(np.float64), window)
    assert features.dtype == np.float32
    assert features.shape == expected.shape == (front_end.num_frames(len(speech)), front_end.dim)
    np.testing.assert_allclose(features, expected, rtol=2e-5, atol=1e-4)


def test_hamming_is_the_default(speech):
    wave = torch.from_numpy(speech)[None]
    for name in NAIVE:
        default = FRONT_ENDS.build("features", name)(wave)
        assert torch.equal(default, FRONT_ENDS.build("features", {"name": name, "window": "hamming"})(wave))


def test_the_published_crop_of_32240_samples_has_202_centred_frames():
    assert FRONT_ENDS.build("features", "fbank40").num_frames(32240) == 202


def test_spectrogram161_without_logarithm_is_its_root(speech):
    wave = torch.from_numpy(speech)[None]
    magnitude = FRONT_ENDS.build("features", {"name": "spectrogram161", "spectrum": "magnitude"})(wave)
    log_power = FRONT_ENDS.build("features", "spectrogram161")(wave)
    torch.testing.assert_close((magnitude.square() + 1e-6).log(), log_power)
