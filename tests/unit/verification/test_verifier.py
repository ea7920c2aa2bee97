"""A system in use gives the scores of the recipe's own way: features in a compressed ark, embeddings, a trial list."""

from __future__ import annotations

import math

import numpy as np
import pytest
from small_verifier import calibrated, noise, small_system, write_wave

import spk
from spk.backend import BACKENDS
from spk.backend.models import read_models
from spk.backend.scoring import score_trials
from spk.data.ark import FeatureReader
from spk.data.features import describe, join_shares, make_share, read_sources
from spk.data.trials import read_pairs
from spk.embed.embeddings import embed
from spk.embed.waveforms import WaveformEmbedder
from spk.embed.write import write_embeddings
from spk.errors import InputError
from spk.feats import FRONT_ENDS
from spk.feats.analysis import OneByOne
from spk.verification.verifier import Decision

NAMES = ["a", "b", "c", "d"]


def embedded_by_the_recipe(exp, folder):
    """FOLDER/embedding.scp of four recordings, by way of an ark that the front end's method compresses."""
    folder.mkdir()
    for seed, name in enumerate(NAMES):
        write_wave(folder / f"{name}.wav", noise(1.5 + 0.4 * seed, seed))
    (folder / "wav.scp").write_text("".join(f"{name} {folder / name}.wav\n" for name in NAMES))
    front_end = FRONT_ENDS.build("features", "fbank40")
    made_from = describe(
        read_sources(folder, allow_pipes=False), {"name": "fbank40"}, front_end.compression, str(folder)
    )
    sources = read_sources(folder, allow_pipes=False)
    make_share(sources, folder / "f.1", made_from, lambda: OneByOne(front_end), allow_pipes=False)
    join_shares(folder, [folder / "f.1"], max_rejected=0)
    reader = FeatureReader(folder / "feats.scp")
    embedder = WaveformEmbedder.load(exp)
    embeddings = embed(embedder.embedder, reader, reader.num_frames(), embedder.evaluation)
    write_embeddings(str(folder / "embedding"), NAMES, embeddings)
    return folder


@pytest.mark.parametrize("backend", ["cosine", {"name": "euclidean", "length_normalize": False}])
@pytest.mark.parametrize("crops", [0, 3])
def test_the_score_is_that_of_the_recipe(crops, backend, tmp_path):
    exp = small_system(tmp_path / "exp", crops, backend)
    data = embedded_by_the_recipe(exp, tmp_path / "data")
    (data / "trials").write_text("a b target\nc a nontarget\nb d nontarget\n")
    section = {"name": backend} if isinstance(backend, str) else backend
    expected = score_trials(read_pairs(data / "trials"), data, data, BACKENDS.build("backend", section))
    verifier = spk.load(exp)
    scores = [verifier.verify(data / f"{x}.wav", data / f"{y}.wav").score for x, y in ("ab", "ca", "bd")]
    np.testing.assert_allclose(scores, expected, atol=2e-5)


def test_a_speaker_of_several_recordings_is_scored_as_a_recipes_model(tmp_path):
    exp = small_system(tmp_path / "exp")
    data = embedded_by_the_recipe(exp, tmp_path / "data")
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


@pytest.mark.parametrize(
    "backend, message",
    [("nonsense", "no back-end is named 'nonsense'"), ("plda", "plda: no such file"), ("lda_cosine", "mean.vec")],
)
def test_a_backend_that_is_not_there_is_said(backend, message, tmp_path):
    with pytest.raises(InputError, match=message):
        spk.load(small_system(tmp_path / "exp"), backend)


@pytest.mark.parametrize("p_target", [0, 1, -1, float("nan")])
def test_a_prior_lies_between_0_and_1(p_target):
    with pytest.raises(InputError, match="p-target"):
        Decision(p_target)
