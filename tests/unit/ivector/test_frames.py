"""Frames of a data directory: as one utterance after the other gives them, whatever the blocks; bad data are named."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from unit.ivector.ubm_data import DIM, rewrite, write_data

from spk.errors import InputError
from spk.feats.deltas import add_deltas
from spk.feats.sliding_cmn import subtract_sliding_mean
from spk.ivector import frames as frames_module
from spk.ivector.frames import FrameConfig, FrameReader, read_frame_config, write_frame_config

NUM_FRAMES = [30, 200, 1, 77, 350, 12, 90]
CONFIG = FrameConfig(delta_window=2, delta_order=1, cmn_window=50)


@pytest.fixture
def data(tmp_path):
    """(folder, frames expected of each utterance); one utterance has no voice at all."""
    features, voices = write_data(tmp_path, NUM_FRAMES)
    voices[3][:] = 0
    rewrite(tmp_path, features, voices)
    expected = []
    for feature, voice in zip(features, voices, strict=True):
        length = torch.tensor([len(feature)])
        whole = subtract_sliding_mean(add_deltas(torch.from_numpy(feature), length, 2, 1), length, 50)
        expected.append(whole.numpy()[voice > 0])
    return tmp_path, expected


@pytest.mark.parametrize(("in_cache", "block_frames"), [(5000, 100_000), (100, 150), (1, 1)])
@pytest.mark.parametrize("subsample", [1, 5])
def test_blocks_hold_every_nth_voiced_frame_of_each_utterance(data, monkeypatch, in_cache, block_frames, subsample):
    folder, expected = data
    monkeypatch.setattr(frames_module, "FRAMES_IN_CACHE", in_cache)
    reader = FrameReader(folder, CONFIG)
    blocks = list(reader.blocks(subsample, block_frames))
    assert [name for block in blocks for name in block.utterances] == [f"u{n}" for n in range(len(NUM_FRAMES))]
    wanted = [frames[::subsample] for frames in expected]
    assert torch.cat([block.num_frames for block in blocks]).tolist() == [len(frames) for frames in wanted]
    assert reader.dim == 2 * DIM
    np.testing.assert_allclose(torch.cat([b.frames for b in blocks]), np.concatenate(wanted), atol=1e-6)
    assert all(len(block.frames) < block_frames + 350 for block in blocks)
    assert all(len(block.frames) >= block_frames for block in blocks[:-1])


def test_only_the_named_utterances_in_their_order(data):
    folder, expected = data
    (block,) = FrameReader(folder, CONFIG, ["u4", "u0"]).blocks()
    np.testing.assert_allclose(block.frames, np.concatenate([expected[4], expected[0]]), atol=1e-6)


def test_a_sample_is_drawn_from_all_voiced_frames_without_repetition(data, monkeypatch):
    folder, expected = data
    monkeypatch.setattr(frames_module, "FRAMES_IN_CACHE", 100)
    reader, everything = FrameReader(folder, CONFIG), np.concatenate(expected)
    assert reader.num_voiced().tolist() == [len(frames) for frames in expected]
    places = []
    for seed in range(30):
        sample = reader.sample(20, seed).numpy()
        distances = np.abs(sample[:, None] - everything[None]).max(axis=2)
        assert distances.min(axis=1).max() < 1e-6
        places.append(distances.argmin(axis=1))
        assert (np.diff(places[-1]) > 0).all()
    drawn = np.unique(np.concatenate(places))
    assert drawn.min() < 0.1 * len(everything)
    assert drawn.max() > 0.9 * len(everything)
    assert len(drawn) > 0.6 * len(everything)  # 600 draws
    assert torch.equal(reader.sample(20, 1), reader.sample(20, 1))
    np.testing.assert_allclose(reader.sample(10**6, 1), everything, atol=1e-6)


@pytest.mark.parametrize(("name", "step"), [("feats.scp", "make_feats"), ("vad.scp", "compute_vad")])
def test_a_missing_file_is_an_error_that_says_what_makes_it(data, name, step):
    folder, _ = data
    (folder / name).unlink()
    with pytest.raises(InputError, match=rf"{name}: no such file; run steps/{step}"):
        FrameReader(folder, CONFIG)


def test_an_utterance_without_voice_activity_is_named(data):
    folder, _ = data
    lines = (folder / "vad.scp").read_text().splitlines()
    (folder / "vad.scp").write_text("\n".join(lines[:4] + lines[5:]) + "\n")
    with pytest.raises(InputError, match=r"vad\.scp: lacks 1 of 7 utterances, first 'u4'; run steps/compute_vad"):
        FrameReader(folder, CONFIG)


def test_voice_activity_of_other_features_is_named(data):
    folder, _ = data
    lines = (folder / "vad.scp").read_text().splitlines()
    (folder / "vad.scp").write_text("\n".join([*lines[:5], lines[4].replace("u4", "u5"), lines[6]]) + "\n")
    with pytest.raises(InputError, match=r"utterance 'u5': is about 350 frames, but the features have 12; run steps/"):
        list(FrameReader(folder, CONFIG).blocks())


def test_features_that_are_not_finite_are_named(data):
    folder, _ = data
    features, voices = write_data(folder, NUM_FRAMES)
    features[4][100, 2] = np.nan
    rewrite(folder, features, voices)
    with pytest.raises(InputError, match=r"utterance 'u4': its features are not finite"):
        list(FrameReader(folder, CONFIG).blocks())


def test_a_model_for_frames_of_another_dimension_is_named(data):
    folder, _ = data
    with pytest.raises(InputError, match=r"features of 4 values make frames of 8, but exp/ubm is for 39"):
        FrameReader(folder, CONFIG).check_dim(39, "exp/ubm")


def test_other_features_than_the_models_are_an_error(data):
    folder, _ = data
    (folder / "feats.yaml").write_text("name: kaldi_mfcc\nnum_ceps: 24\n")
    trained_on = FrameConfig(features={"name": "kaldi_mfcc", "num_ceps": 20})
    with pytest.raises(InputError, match=r"feats\.yaml: num_ceps is 24, but the UBM's features have 20"):
        FrameReader(folder, trained_on)
    FrameReader(folder, FrameConfig())  # of which nothing is known
    FrameReader(folder, FrameConfig(features={"name": "kaldi_mfcc", "num_ceps": 24, "low_freq": None}))


def test_the_config_is_kept_beside_the_models_and_checked(tmp_path):
    config = FrameConfig(delta_window=2, delta_order=1, cmn_window=100, features={"name": "kaldi_mfcc"})
    write_frame_config(tmp_path, config)
    assert read_frame_config(tmp_path) == config
    (tmp_path / "frames.yaml").write_text("delta_windw: 3\n")
    with pytest.raises(InputError, match="delta_windw: unknown key; did you mean 'delta_window'"):
        read_frame_config(tmp_path)
    (tmp_path / "frames.yaml").write_text("cmn_window: 0\n")
    with pytest.raises(InputError, match="cmn_window: 0 is out of range"):
        read_frame_config(tmp_path)
    with pytest.raises(InputError, match=r"frames\.yaml: no such file"):
        read_frame_config(tmp_path / "nowhere")
