"""Deltas, sliding CMN and voice activity against their definitions and against what Kaldi's programs wrote."""

from __future__ import annotations

from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
import torch

from spk.errors import InputError
from spk.feats import FRONT_ENDS
from spk.feats.deltas import add_deltas, delta_filters
from spk.feats.sliding_cmn import subtract_sliding_mean
from spk.feats.vad import VadConfig, voiced_frames
from spk.schema import check_arguments

DATA = Path(__file__).parents[2] / "data"
LENGTHS = [1, 40, 7, 3, 120]

# The utterances of tests/data/kaldi_ivector/feats.ark, whose MFCC, deltas, CMN and VAD are all Kaldi's.
OF_AN4 = {
    "utt00": "an4-ftmj/cen/cen2",
    "utt06": "an4-msjr/an/an353",
    "utt12": "an4-mmkw/an/an363",
    "utt24": "an4-mmap/cen/cen6",
    "utt39": "an4-fnsv/an/an181",
}


def read_ark(name: str) -> dict[str, np.ndarray]:
    return dict(kaldiio.load_ark(str(DATA / "kaldi" / name)))


@pytest.fixture(scope="module")
def utterances() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.standard_normal((length, 3)) + 10 for length in LENGTHS]


def together(utterances: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(np.concatenate(utterances)), torch.tensor([len(u) for u in utterances])


def test_a_delta_is_the_slope_of_the_regression_line():
    _, slope, second = delta_filters(window=3, order=2)
    assert slope.tolist() == pytest.approx([j / 28 for j in range(-3, 4)])
    ramp = np.arange(-6.0, 7.0)
    assert slope @ torch.from_numpy(ramp[:7]) == pytest.approx(1)
    assert second @ torch.from_numpy(ramp**2) == pytest.approx(2)  # the second derivative of x^2


def test_deltas_of_utterances_in_one_block_repeat_the_frames_at_their_ends(utterances):
    filters = [f.numpy() for f in delta_filters(window=2, order=2)]
    expected = []
    for utterance in utterances:
        rows = []
        for t in range(len(utterance)):
            row = []
            for weights in filters:
                half = len(weights) // 2
                around = [min(max(t + j, 0), len(utterance) - 1) for j in range(-half, half + 1)]
                row.append(weights @ utterance[around])
            rows.append(np.concatenate(row))
        expected.append(np.stack(rows))
    np.testing.assert_allclose(add_deltas(*together(utterances), 2, 2).numpy(), np.concatenate(expected), atol=1e-12)
    np.testing.assert_array_equal(add_deltas(*together(utterances), 2, 0).numpy(), np.concatenate(utterances))


@pytest.mark.parametrize("window", [1, 10, 11, 300])
def test_the_sliding_window_is_moved_inside_the_utterance(utterances, window):
    expected = []
    for utterance in utterances:
        for t in range(len(utterance)):
            begin = max(0, min(t - window // 2, len(utterance) - window))
            expected.append(utterance[t] - utterance[begin : begin + window].mean(axis=0))
    normalized = subtract_sliding_mean(*together(utterances), window)
    np.testing.assert_allclose(normalized.numpy(), np.stack(expected), atol=1e-9)


def test_sliding_cmn_is_kaldis():
    features, expected = read_ark("mfcc30.ark"), read_ark("mfcc30_cmn.ark")
    normalized = subtract_sliding_mean(*together(list(features.values())), window=100)
    np.testing.assert_allclose(normalized.numpy(), np.concatenate(list(expected.values())), atol=1e-5)


def test_voice_activity_is_kaldis():
    features, expected = read_ark("mfcc30.ark"), read_ark("vad.ark")
    frames, lengths = together(list(features.values()))
    voiced = voiced_frames(frames[:, 0], lengths, VadConfig(frames_context=2, proportion_threshold=0.12))
    assert voiced.tolist() == np.concatenate([expected[name] for name in features]).astype(bool).tolist()
    assert 0 < voiced.float().mean() < 1


def test_voice_worked_by_hand():
    """Mean 8, threshold 5.5 + 0.5 * 8 = 9.5; with a frame of context two of three must be louder."""
    energy = torch.tensor([10.0, 10, 2, 10, 2, 2, 20])
    assert voiced_frames(energy, torch.tensor([7])).tolist() == [True, True, False, True, False, False, True]
    context = VadConfig(frames_context=1, proportion_threshold=0.6)
    assert voiced_frames(energy, torch.tensor([7]), context).tolist() == [True, True, True, False, False, False, False]
    # In utterances of their own, thresholds are 10.5, 9.17 and 9.5.
    assert voiced_frames(energy, torch.tensor([1, 3, 3])).tolist() == [False, True, False, True, False, False, True]


@pytest.mark.parametrize(("option", "value"), [("proportion_threshold", 1.5), ("frames_context", -1)])
def test_impossible_options_of_the_vad_are_named(option, value):
    with pytest.raises(InputError, match=option):
        check_arguments("vad", {option: value}, VadConfig)


@pytest.mark.parametrize("utterance", OF_AN4)
def test_from_the_wave_to_voiced_frames_all_is_kaldis(utterance, corpora):
    wave, _ = soundfile.read(corpora / "an4" / "wav" / f"{OF_AN4[utterance]}.flac", dtype="float32")
    mfcc = FRONT_ENDS.build("features", {"name": "kaldi_mfcc", "snip_edges": False})(torch.from_numpy(wave)[None])[0]
    lengths = torch.tensor([len(mfcc)])
    frames = subtract_sliding_mean(add_deltas(mfcc, lengths, 3, 2), lengths, 300)[voiced_frames(mfcc[:, 0], lengths)]
    expected = dict(kaldiio.load_ark(str(DATA / "kaldi_ivector" / "feats.ark")))[utterance]
    np.testing.assert_allclose(frames.numpy(), expected, atol=2e-3)
