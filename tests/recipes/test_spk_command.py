"""`spk` on the command line: verify, enroll, identify, gallery, embed, export, and what is said of bad input."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from in_process import Run, runner, succeed

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit/verification"))
from small_verifier import calibrated, embedded_by_the_recipe, noise, small_system, write_wave

import spk
from spk.backend.embedding_reader import map_embeddings


@pytest.fixture
def work(tmp_path):
    calibrated(small_system(tmp_path / "exp"), weight=10.0, offset=-3.0)
    for seed, name in enumerate(("a", "b", "two words")):
        write_wave(tmp_path / f"{name}.wav", noise(2, seed))
    return tmp_path


@pytest.fixture
def run(tmp_path, monkeypatch, capsys, caplog) -> Run:
    return runner(tmp_path, monkeypatch, capsys, caplog)


def test_verify_says_score_llr_and_decision(work, shell, run):
    expected = spk.load(work / "exp").verify(work / "a.wav", work / "two words.wav")
    said = json.loads(succeed(run, "spk verify exp a.wav 'two words.wav' --json"))
    assert said["score"] == pytest.approx(expected.score, abs=1e-6)
    assert said["llr"] == pytest.approx(10 * said["score"] - 3)
    assert said["threshold"] == pytest.approx(np.log(99)) and said["same_speaker"] == (said["llr"] >= np.log(99))
    finished = shell("spk verify exp a.wav 'two words.wav'", check=True, env={"PYTHONPROFILEIMPORTTIME": "1"})
    imported = {line.rpartition("|")[2].strip() for line in finished.stderr.splitlines()}
    slow = {"torch._dynamo", "scipy", "sympy", "sklearn", "matplotlib"}
    assert "torch" in imported and not imported & slow
    words = finished.stdout
    assert f"{said['score']:.6f}  (cosine)" in words and f"{said['llr']:.3f}" in words
    without = succeed(run, "spk verify exp a.wav b.wav --backend euclidean")
    assert "not calibrated" in without and "decision  none" in without


def test_scores_are_those_of_a_recipes_score_files(tmp_path, run):
    names = [f"{speaker}-{number}" for speaker in "abcd" for number in range(4)]
    exp, data = small_system(tmp_path / "exp"), tmp_path / "data"
    embedded_by_the_recipe(exp, data, names)
    (data / "utt2spk").write_text("".join(f"{name} {name[0]}\n" for name in names))
    pairs = [("a-0", "a-1"), ("a-0", "b-2"), ("c-3", "d-1"), ("d-3", "d-0")]
    (data / "trials").write_text("".join(f"{a} {b} {'' if a[0] == b[0] else 'non'}target\n" for a, b in pairs))
    succeed(run, "train_lda data data exp/backend_lda")
    succeed(run, "train_plda data data exp/backend_plda")
    for name, options in (
        ("cosine", ""),
        ("euclidean", "--backend euclidean"),
        ("lda_cosine", "--backend-dir exp/backend_lda"),
        ("plda", "--backend plda --backend-dir exp/backend_plda"),
    ):
        succeed(run, f"score {options} data/trials data data scores_{name}")
        of_recipe = [float(line.split()[2]) for line in (tmp_path / f"scores_{name}").open()]
        said = [
            json.loads(succeed(run, f"spk verify exp data/{a}.wav data/{b}.wav --json --backend {name}"))
            for a, b in pairs
        ]
        np.testing.assert_allclose([verdict["score"] for verdict in said], of_recipe, rtol=1e-4, atol=5e-5)
        assert {verdict["backend"] for verdict in said} == {name}


def test_who_was_enrolled_is_identified_and_a_stranger_is_not(work, run):
    succeed(run, "spk enroll exp g Ann a.wav")
    succeed(run, "spk enroll exp g 'Bob B' b.wav")
    assert succeed(run, "spk gallery list g") == "Ann\t1\nBob B\t1\n"
    answers = json.loads(succeed(run, "spk identify exp g b.wav a.wav --threshold 0.9999 --json"))["answers"]
    assert [answer["speaker"] for answer in answers] == ["Bob B", "Ann"]
    assert [speaker["name"] for speaker in answers[0]["ranking"]] == ["Bob B", "Ann"]
    assert answers[0]["ranking"][0]["score"] == pytest.approx(1, abs=1e-5)
    stranger = succeed(run, "spk identify exp g 'two words.wav' --threshold 1.5 --top 1")
    assert stranger.startswith("two words.wav: nobody of the gallery") and len(stranger.splitlines()) == 2
    succeed(run, "spk gallery remove g Ann")
    assert succeed(run, "spk gallery list g") == "Bob B\t1\n"
    again = run("spk enroll exp g 'Bob B' a.wav b.wav")
    assert again.returncode == 1 and "enrolled with it already" in again.stderr
    assert succeed(run, "spk gallery list g") == "Bob B\t1\n"


def test_embeddings_are_written_as_an_ark_or_for_numpy(work, run):
    verifier = spk.load(work / "exp")
    expected = np.stack([crops[0] for _, crops in verifier.embed_files([work / "a.wav", work / "b.wav"])])
    succeed(run, "spk embed exp a.wav b.wav --output e")
    succeed(run, "spk embed exp a.wav b.wav --output e.npz")
    np.testing.assert_allclose(map_embeddings(work / "e", ["a", "b"], lambda x: x)[:, 0], expected, atol=1e-6)
    with np.load(work / "e.npz") as content:
        assert content["recordings"].tolist() == ["a.wav", "b.wav"]
        np.testing.assert_allclose(content["embeddings"], expected, atol=1e-6)


def test_recordings_that_cannot_be_used_are_listed_and_the_others_are_done(work, run):
    write_wave(work / "silent.wav", np.zeros(32000))
    finished = run("spk embed exp a.wav none.wav silent.wav b.wav --output e")
    assert finished.returncode == 1
    assert [line.partition(": ")[0] for line in finished.stderr.splitlines()[:2]] == ["left out"] * 2
    assert "none.wav: no such file" in finished.stderr and "silent.wav: all of its 2.00 s" in finished.stderr
    assert finished.stderr.endswith(
        "spk embed: error: 2 of 4 recordings cannot be used and are left out, as said above\n"
    )
    assert [line.split()[0] for line in (work / "e/embedding.scp").open()] == ["a", "b"]
    finished = run("spk embed exp none.wav silent.wav --output f")
    assert finished.returncode == 1 and not (work / "f").exists()
    assert finished.stderr.endswith("none of the 2 recordings can be used; nothing is written\n")
    succeed(run, "spk enroll exp g Ann a.wav")
    finished = run("spk identify exp g none.wav a.wav")
    assert finished.returncode == 1 and "1 of 2 recordings" in finished.stderr
    assert finished.stdout.startswith("a.wav: ")


def test_a_file_of_export_takes_the_place_of_the_directory(work, run):
    succeed(run, "spk export exp x.spk")
    of_both = [succeed(run, f"spk verify {model} a.wav b.wav") for model in ("exp", "x.spk")]
    assert of_both[0] == of_both[1]


def test_killed_as_they_write_enroll_and_export_can_be_run_again(work, run):
    succeed(run, "spk enroll exp g Ann b.wav")
    for line, enrolled in (("spk enroll exp g Ann a.wav", 1), ("spk export exp x.spk", 2)):
        before = names_below(work)
        if not (pid := os.fork()):
            os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
            try:
                run(line)
            finally:
                os._exit(1)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL
        left = names_below(work) - before
        assert len(left) == 1 and left.pop().endswith(f".{pid}.partial")
        assert succeed(run, "spk gallery list g") == f"Ann\t{enrolled}\n"
        succeed(run, line)
        assert not any(name.endswith(".partial") for name in names_below(work))
    assert succeed(run, "spk gallery list g") == "Ann\t2\n"
    succeed(run, "spk verify x.spk a.wav b.wav")


def names_below(folder: Path) -> set[str]:
    return {os.fspath(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_bad_input_is_one_line_in_a_shell(work, shell):
    finished = shell("spk verify exp a.wav none.wav")
    assert finished.returncode == 1 and not finished.stdout
    assert finished.stderr == "spk verify: error: none.wav: no such file or directory\n"


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
        ("spk verify exp a.wav b.wav --backend own_as", "--backend: own_as: is normalised by the scores against"),
        ("spk identify exp g a.wav", "spk identify: error: g: is no gallery"),
        ("spk identify exp g a.wav --top 0", "--top"),
        ("spk gallery remove g Ann", "spk gallery: error: g: is no gallery"),
        ("spk enroll exp a.wav Ann b.wav", "a.wav: is a file; a gallery is a directory"),
        ("spk enroll exp g ' ' b.wav", "cannot be a speaker's name"),
        ("spk enroll exp g Ann b.wav none.wav", "none.wav: no such file"),
        ("spk embed exp 'two words.wav' --output e", "an utterance of an ark has no spaces"),
        ("spk embed exp a.wav a.wav --output e", "several recordings are called so"),
        ("spk embed exp none.wav --output e", "spk embed: error: none.wav: no such file"),
        ("spk export exp x.txt", "ends in neither .spk"),
    ],
)
def test_bad_input_is_one_line(line, message, work, run):
    finished = run(line)
    assert finished.returncode == 1 and message in finished.stderr
    assert len(finished.stderr.splitlines()) == 1 and not finished.stdout
    assert not (work / "e").exists() and not (work / "g").exists()


@pytest.mark.parametrize("name", ["embed", "verify", "enroll", "identify", "gallery", "export"])
def test_every_command_explains_itself(name, run):
    assert f"Usage: spk {name}" in succeed(run, f"spk {name} --help")
