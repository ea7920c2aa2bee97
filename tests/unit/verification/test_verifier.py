"""A system in use gives the scores of the recipe's own way: features in a compressed ark, embeddings, a trial list."""

from __future__ import annotations

import math

import numpy as np
import pytest
from small_verifier import calibrated, embedded_by_the_recipe, noise, small_system, write_wave

import spk
from spk.backend import BACKENDS
from spk.backend.models import read_models
from spk.backend.scoring import score_trials
from spk.data.trials import read_pairs
from spk.embed.waveforms import WaveformEmbedder
from spk.errors import InputError
from spk.verification.verifier import Decision

NAMES = ["a", "b", "c", "d"]


@pytest.mark.parametrize("backend", ["cosine", {"name": "euclidean", "length_normalize": False}])
@pytest.mark.parametrize("crops", [0, 3])
def test_the_score_is_that_of_the_recipe(crops, backend, tmp_path):
    exp = small_system(tmp_path / "exp", crops, backend)
    data = embedded_by_the_recipe(exp, tmp_path / "data", NAMES)
    (data / "trials").write_text("a b target\nc a nontarget\nb d nontarget\n")
    section = {"name": backend} if isinstance(backend, str) else backend
    expected = score_trials(read_pairs(data / "trials"), data, data, BACKENDS.build("backend", section))
    verifier = spk.load(exp)
    scores = [verifier.verify(data / f"{x}.wav", data / f"{y}.wav").score for x, y in ("ab", "ca", "bd")]
    np.testing.assert_allclose(scores, expected, atol=2e-5)


def test_one_bad_recording_is_named_and_loses_no_other(tmp_path, monkeypatch):
    verifier = spk.load(small_system(tmp_path / "exp"))
    good = [write_wave(tmp_path / f"{seed}.wav", noise(2, seed)) for seed in range(3)]
    expected = [crops for _, crops in verifier.embed_files(good)]
    silent = write_wave(tmp_path / "silent.wav", np.zeros(32000))
    odd = write_wave(tmp_path / "odd.wav", noise(1.5, 9))
    long = write_wave(tmp_path / "long.wav", np.zeros(400 * 160))
    verifier.longest_part = 3.0
    network = type(verifier.embedder.embedder)
    forward = network.forward

    def not_finite_for_the_odd(self, features, lengths=None):
        embeddings = forward(self, features, lengths)
        return embeddings * math.nan if features.shape[1] == 151 else embeddings

    monkeypatch.setattr(network, "forward", not_finite_for_the_odd)
    refused = {}
    given = [good[0], silent, tmp_path / "none.wav", odd, good[1], long, good[2]]
    embedded = list(verifier.embed_files(given, lambda path, error: refused.update({path: str(error)})))
    assert [recording.path for recording, _ in embedded] == [str(path) for path in good]
    for (_, crops), alone in zip(embedded, expected, strict=True):
        np.testing.assert_allclose(crops, alone, atol=1e-5)
    assert list(refused) == [str(path) for path in (silent, tmp_path / "none.wav", odd, long)]
    assert all(message.startswith(path) for path, message in refused.items())
    assert "its embedding is not finite" in refused[str(odd)]
    with pytest.raises(InputError, match=r"silent\.wav: all of its"):
        list(verifier.embed_files(given))
    with pytest.raises(InputError, match="silent"):
        verifier.verify((np.zeros(32000, np.float32), 16000), good[0])


def test_a_speaker_of_several_recordings_is_scored_as_a_recipes_model(tmp_path):
    exp = small_system(tmp_path / "exp")
    data = embedded_by_the_recipe(exp, tmp_path / "data", NAMES)
    (data / "trials").write_text("model d target\n")
    (data / "models").write_text("model a b c\n")
    models = read_models(data / "models")
    expected = score_trials(read_pairs(data / "trials"), data, data, BACKENDS.build("", "cosine"), models=models)
    verifier = spk.load(exp)
    crops = [crops for _, crops in verifier.embed_files(data / f"{name}.wav" for name in NAMES)]
    speaker, test = verifier.represent(crops[:3]), verifier.represent(crops[3:])
    np.testing.assert_allclose(verifier.scores(speaker[None], test, [3]), expected, atol=2e-5)


def test_waves_and_files_are_the_same_to_it(tmp_path):
    verifier = spk.load(small_system(tmp_path / "exp"))
    waves = [noise(2, seed) for seed in (0, 1)]
    files = [write_wave(tmp_path / f"{seed}.wav", wave) for seed, wave in enumerate(waves)]
    of_files = verifier.verify(*files).score
    assert verifier.verify((waves[0], 16000), files[1]).score == pytest.approx(of_files, abs=1e-6)
    assert verifier.embed(waves[0], 16000).shape == (6,) and verifier.embed(waves, 16000).shape == (2, 6)


def test_a_calibrated_score_decides_at_the_prior_and_another_backend_is_not_calibrated(tmp_path):
    exp = calibrated(small_system(tmp_path / "exp"), weight=10.0, offset=-3.0)
    waves = [(noise(2, seed), 16000) for seed in (0, 1)]
    verdict = spk.load(exp).verify(*waves, Decision(p_target=0.2))
    assert verdict.llr == pytest.approx(10 * verdict.score - 3)
    assert verdict.threshold == pytest.approx(math.log(4))  # (1 - 0.2) / 0.2
    assert verdict.same_speaker == (verdict.llr >= math.log(4))
    other = spk.load(exp, "euclidean")
    assert "of cosine, not of euclidean" in other.not_calibrated
    assert other.verify(*waves).llr is None and other.verify(*waves).same_speaker is None


def test_a_threshold_is_of_the_score_even_where_that_is_calibrated(tmp_path):
    exp = calibrated(small_system(tmp_path / "exp"), weight=10.0, offset=-300.0)
    wave = (noise(2), 16000)
    verdict = spk.load(exp).verify(wave, wave, Decision(threshold=0.9))
    assert verdict.score == pytest.approx(1, abs=1e-5) and verdict.llr == pytest.approx(-290, abs=0.1)
    assert verdict.same_speaker is True


def test_a_long_recording_is_the_mean_of_its_equal_parts(tmp_path):
    verifier = spk.load(small_system(tmp_path / "exp"))
    parts = [noise(2, seed) for seed in range(3)]
    whole = write_wave(tmp_path / "long.wav", np.concatenate(parts))
    test = noise(2, 9)
    cosines = [verifier.verify((part, 16000), (test, 16000)).score for part in parts]
    verifier.longest_part = 2.5  # 6 s in 3 parts of 2 s
    assert verifier.verify(whole, (test, 16000)).score == pytest.approx(np.mean(cosines), abs=1e-5)


def test_crops_of_a_long_recording_are_those_of_the_whole(tmp_path):
    verifier = spk.load(small_system(tmp_path / "exp", crops=3))
    wave = noise(6.003)
    recording = write_wave(tmp_path / "long.wav", wave)
    verifier.longest_part = 2.5
    ((_, crops),) = verifier.embed_files([recording])
    (whole,) = WaveformEmbedder.load(tmp_path / "exp")([wave], 16000)  # of features that are not compressed
    assert crops.shape == (3, 6)
    np.testing.assert_allclose(crops, whole, atol=1e-5)
    verifier.longest_part = 300.0
    ((_, read_whole),) = verifier.embed_files([recording])
    np.testing.assert_allclose(crops, read_whole, atol=0.02 * np.abs(whole).max())
    with pytest.raises(InputError, match="silent"):
        verifier.longest_part = 2.5
        list(verifier.embed_files([write_wave(tmp_path / "silent.wav", np.zeros(96000))]))


@pytest.mark.parametrize(
    "backend, message",
    [
        ("nonsense", "no back-end is named 'nonsense'"),
        ("plda", "plda: no such file"),
        ("lda_cosine", "mean.vec"),
        ("own_as", "own_as: is normalised by the scores against a cohort.*; take own$"),
        ("lda_cosine_z", "take lda_cosine$"),
        ("calibrated_own", "calibrated_own: take own, whose calibration"),
        ("plda_", "no back-end is named 'plda_'"),
        ("_as", "no back-end is named '_as'"),
    ],
)
def test_a_backend_that_is_not_there_is_said(backend, message, tmp_path):
    with pytest.raises(InputError, match=message):
        spk.load(small_system(tmp_path / "exp"), backend)


@pytest.mark.parametrize("p_target", [0, 1, -1, float("nan")])
def test_a_prior_lies_between_0_and_1(p_target):
    with pytest.raises(InputError, match="p-target"):
        Decision(p_target)
