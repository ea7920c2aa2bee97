"""`spk` on the command line: verify, enroll, identify, gallery, embed, export, and what is said of bad input."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit/verification"))
from small_verifier import calibrated, noise, small_system, write_wave

import spk
from spk.backend.embedding_reader import map_embeddings


@pytest.fixture
def work(tmp_path):
    calibrated(small_system(tmp_path / "exp"), weight=10.0, offset=-3.0)
    for seed, name in enumerate(("a", "b", "two words")):
        write_wave(tmp_path / f"{name}.wav", noise(2, seed))
    return tmp_path


def test_verify_says_score_llr_and_decision(work, shell):
    expected = spk.load(work / "exp").verify(work / "a.wav", work / "two words.wav")
    said = json.loads(shell("spk verify exp a.wav 'two words.wav' --json", check=True).stdout)
    assert said["score"] == pytest.approx(expected.score, abs=1e-6)
    assert said["llr"] == pytest.approx(10 * said["score"] - 3)
    assert said["threshold"] == pytest.approx(np.log(99)) and said["same_speaker"] == (said["llr"] >= np.log(99))
    words = shell("spk verify exp a.wav 'two words.wav'", check=True).stdout
    assert f"{said['score']:.6f}  (cosine)" in words and f"{said['llr']:.3f}" in words
    without = shell("spk verify exp a.wav b.wav --backend euclidean", check=True).stdout
    assert "not calibrated" in without and "decision  none" in without


def test_who_was_enrolled_is_identified_and_a_stranger_is_not(work, shell):
    shell("spk enroll exp g Ann a.wav && spk enroll exp g 'Bob B' b.wav", check=True)
    assert shell("spk gallery list g", check=True).stdout == "Ann\t1\nBob B\t1\n"
    answers = json.loads(shell("spk identify exp g b.wav a.wav --threshold 0.9999 --json", check=True).stdout)[
        "answers"
    ]
    assert [answer["speaker"] for answer in answers] == ["Bob B", "Ann"]
    assert [speaker["name"] for speaker in answers[0]["ranking"]] == ["Bob B", "Ann"]
    assert answers[0]["ranking"][0]["score"] == pytest.approx(1, abs=1e-5)
    stranger = shell("spk identify exp g 'two words.wav' --threshold 1.5 --top 1", check=True).stdout
    assert stranger.startswith("two words.wav: nobody of the gallery") and len(stranger.splitlines()) == 2
    shell("spk gallery remove g Ann", check=True)
    assert shell("spk gallery list g", check=True).stdout == "Bob B\t1\n"
    again = shell("spk enroll exp g 'Bob B' a.wav b.wav")
    assert again.returncode == 1 and "enrolled with it already" in again.stderr
    assert shell("spk gallery list g", check=True).stdout == "Bob B\t1\n"


def test_embeddings_are_written_as_an_ark_or_for_numpy(work, shell):
    verifier = spk.load(work / "exp")
    expected = np.stack([crops[0] for _, crops in verifier.embed_files([work / "a.wav", work / "b.wav"])])
    shell("spk embed exp a.wav b.wav --output e && spk embed exp a.wav b.wav --output e.npz", check=True)
    np.testing.assert_allclose(map_embeddings(work / "e", ["a", "b"], lambda x: x)[:, 0], expected, atol=1e-6)
    with np.load(work / "e.npz") as content:
        assert content["recordings"].tolist() == ["a.wav", "b.wav"]
        np.testing.assert_allclose(content["embeddings"], expected, atol=1e-6)


def test_a_file_of_export_takes_the_place_of_the_directory(work, shell):
    shell("spk export exp x.spk", check=True)
    of_both = [shell(f"spk verify {model} a.wav b.wav", check=True).stdout for model in ("exp", "x.spk")]
    assert of_both[0] == of_both[1]


@pytest.mark.parametrize(
    "line, message",
    [
        ("spk", "spk: error: it takes a command"),
        ("spk guess", "spk: error: there is no command 'guess'"),
        ("spk verify nothing a.wav b.wav", "spk verify: error: nothing: no such file or directory"),
        ("spk verify exp a.wav none.wav", "spk verify: error: none.wav: no such file"),
        ("spk verify exp a.wav b.wav --p-target 2", "--p-target: 2 is out of range"),
        ("spk verify exp a.wav b.wav --threshold x", "--threshold"),
        ("spk verify exp a.wav b.wav --longest 0", "--longest: 0 is out of range"),
        ("spk identify exp g a.wav", "spk identify: error: g: is no gallery"),
        ("spk identify exp g a.wav --top 0", "--top"),
        ("spk gallery remove g Ann", "spk gallery: error: g: is no gallery"),
        ("spk enroll exp a.wav Ann b.wav", "a.wav: is a file; a gallery is a directory"),
        ("spk embed exp 'two words.wav' --output e", "an utterance of an ark has no spaces"),
        ("spk embed exp a.wav a.wav --output e", "several recordings are called so"),
        ("spk export exp x.txt", "ends in neither .spk"),
    ],
)
def test_bad_input_is_one_line(line, message, work, shell):
    finished = shell(line)
    assert finished.returncode == 1 and message in finished.stderr
    assert len(finished.stderr.splitlines()) == 1 and not finished.stdout
    assert not (work / "e").exists()


@pytest.mark.parametrize("name", ["embed", "verify", "enroll", "identify", "gallery", "export"])
def test_every_command_explains_itself(name, shell):
    assert f"Usage: spk {name}" in shell(f"spk {name} --help", check=True).stdout
