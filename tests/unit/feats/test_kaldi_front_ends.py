"""Kaldi's front ends against what Kaldi's programs wrote, and their rarer options against torchaudio's."""

from __future__ import annotations

from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
import torchaudio.compliance.kaldi as torchaudio_kaldi

from spk.errors import InputError
from spk.feats import FRONT_ENDS

KALDI = Path(__file__).parents[2] / "data" / "kaldi"
ORACLES = {
    "fbank40": {"name": "kaldi_fbank", "num_mel_bins": 40},
    "fbank80_hamming_nosnip": {
        "name": "kaldi_fbank",
        "num_mel_bins": 80,
        "low_freq": 20,
        "high_freq": 7600,
        "window_type": "hamming",
        "snip_edges": False,
    },
    "mfcc30": {
        "name": "kaldi_mfcc",
        "num_mel_bins": 30,
        "num_ceps": 30,
        "low_freq": 20,
        "high_freq": 7600,
        "snip_edges": False,
    },
    "spectrogram161": {
        "name": "kaldi_spectrogram",
        "frame_length": 20,
        "window_type": "hamming",
        "round_to_power_of_two": False,
    },
}


@pytest.mark.parametrize("oracle", ORACLES)
def test_features_equal_those_of_kaldis_programs(oracle):
    front_end = FRONT_ENDS.build("features", ORACLES[oracle])
    for utterance, expected in kaldiio.load_ark(str(KALDI / f"{oracle}.ark")):
        wave, _ = soundfile.read(KALDI / "wav" / f"{utterance}.wav", dtype="float32")
        features = front_end(torch.from_numpy(wave)[None])[0].numpy()
        assert features.shape == expected.shape == (front_end.num_frames(len(wave)), front_end.dim)
        difference = np.abs(features - expected)
        assert difference.max() < 5e-3
        assert (difference < 1e-3).mean() >= 0.999


@pytest.fixture(scope="module")
def wave() -> torch.Tensor:
    """1.3 s of noise with a drift, [1, 20837]."""
    generator = torch.Generator().manual_seed(3)
    return 0.1 * torch.randn(1, 20837, generator=generator) + torch.linspace(-0.1, 0.2, 20837)


@pytest.mark.parametrize("name", ["kaldi_fbank", "kaldi_mfcc", "kaldi_spectrogram"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"window_type": "blackman", "blackman_coeff": 0.4},
        {"window_type": "hanning", "remove_dc_offset": False},
        {"window_type": "rectangular", "preemphasis_coefficient": 0.0},
        {"snip_edges": False, "frame_shift": 12.5},
        {"round_to_power_of_two": False, "frame_length": 30},
        {"raw_energy": False},
        {"raw_energy": False, "energy_floor": 1e12},
        {"sample_frequency": 8000},
        {"use_energy": True},
        {"use_energy": True, "htk_compat": True},
        {"use_energy": False, "htk_compat": True},
        {"use_log_fbank": False, "use_power": False},
        {"low_freq": 100, "high_freq": -400},
        {"num_ceps": 20, "cepstral_lifter": 0.0},
    ],
    ids=str,
)
def test_rarer_options_equal_torchaudios(name, options, wave):
    front_end_class = FRONT_ENDS[name]
    known = FRONT_ENDS.check("features", name)
    options = {option: value for option, value in options.items() if option in known}
    section = FRONT_ENDS.check("features", {"name": name, **options})
    front_end = front_end_class(**{option: value for option, value in section.items() if option != "name"})
    theirs = {
        option: float(value) if option == "sample_frequency" else value
        for option, value in section.items()
        if option != "name"
    }
    expected = getattr(torchaudio_kaldi, name.removeprefix("kaldi_"))(wave * 32768, **theirs)
    features = front_end(wave)[0]
    assert features.shape == expected.shape
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=5e-3)


def test_dither_is_off_by_default_and_repeatable_when_on(wave):
    plain = FRONT_ENDS.build("features", "kaldi_fbank")(wave * 1e-4)
    front_end = FRONT_ENDS.build("features", {"name": "kaldi_fbank", "dither": 1.0})
    dithered = front_end(wave * 1e-4)
    assert (plain - dithered).abs().max() > 0.1
    torch.manual_seed(5)
    assert torch.equal(front_end(wave * 1e-4), dithered)


@pytest.mark.parametrize(
    "section, message",
    [
        ({"name": "kaldi_mfcc", "num_ceps": 24}, "num_ceps 24 is more than num_mel_bins 23"),
        ({"name": "kaldi_fbank", "num_mel_bins": 500}, "num_mel_bins 500 is too many"),
        ({"name": "kaldi_fbank", "high_freq": 9000}, "high_freq 9000"),
        ({"name": "kaldi_fbank", "low_freq": 9000}, "low_freq 9000"),
        ({"name": "kaldi_fbank", "num_mel_bins": 2}, "num_mel_bins: 2 is out of range"),
        ({"name": "kaldi_fbank", "frame_shift": 0.01}, "frame_shift 0.01"),
        ({"name": "kaldi_fbank", "window_type": "hann"}, "did you mean 'hanning'"),
        ({"name": "kaldi_fbank", "num_ceps": 20}, "num_ceps: unknown key"),
    ],
)
def test_impossible_options_are_named(section, message):
    with pytest.raises(InputError, match=message):
        FRONT_ENDS.build("features", section)
