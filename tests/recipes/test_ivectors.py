"""The steps of the i-vector system after the UBM: what they write, resume and refuse."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import torch
from recipes.processes import kill_when
from recipes.speech import make_corpus

from spk.data.ark import read_vectors
from spk.ivector.extractor_files import read_extractor
from spk.ivector.frames import FrameConfig, write_frame_config
from spk.ivector.full_gmm import FullGmm
from spk.ivector.gmm_files import read_full_gmm, write_diagonal_gmm, write_full_gmm
from spk.train.lock import locked

NUM_GAUSS, DIM, IVECTOR_DIM, ITERATIONS = 4, 3, 5, 4
SPEAKERS = [f"s{n:02d}" for n in range(12)]
UTTERANCES = [f"{speaker}-{n}" for speaker in SPEAKERS for n in range(6)]
SILENT = "s03-2"
OPTIONS = f"--ivector-dim {IVECTOR_DIM} --num-iters {ITERATIONS} --num-gselect 3 --threads 1"
TRAIN = f"train_ivector_extractor {OPTIONS} --ngpu 0"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """data: voices drawn around the means of 4 Gaussians, which each speaker shifts; ubm: those Gaussians."""
    folder = tmp_path_factory.mktemp("ivectors")
    random = np.random.default_rng(0)
    means = 5 * random.standard_normal((NUM_GAUSS, DIM))
    features, vad = {}, {}
    for speaker in SPEAKERS:
        shifts = random.standard_normal((NUM_GAUSS, DIM))
        for utterance in [name for name in UTTERANCES if name.startswith(speaker)]:
            owners = random.integers(NUM_GAUSS, size=random.integers(60, 200))
            noise = random.standard_normal((len(owners), DIM))
            features[utterance] = ((means + shifts)[owners] + noise).astype(np.float32)
            vad[utterance] = (random.random(len(owners)) < 0.8 * (utterance != SILENT)).astype(np.float32)
    (folder / "data").mkdir()
    kaldiio.save_ark(str(folder / "data/feats.ark"), features, scp=str(folder / "data/feats.scp"))
    kaldiio.save_ark(str(folder / "data/vad.ark"), vad, scp=str(folder / "data/vad.scp"))
    (folder / "data/utt2spk").write_text("".join(f"{name} {name[:3]}\n" for name in UTTERANCES))
    full = FullGmm(
        torch.full((NUM_GAUSS,), 1 / NUM_GAUSS, dtype=torch.float64),
        torch.from_numpy(means - means.mean(axis=0)),  # sliding CMN over whole utterances
        2 * torch.eye(DIM, dtype=torch.float64).expand(NUM_GAUSS, DIM, DIM).contiguous(),
    )
    (folder / "ubm").mkdir()
    write_full_gmm(folder / "ubm/final.ubm", full)
    write_diagonal_gmm(folder / "ubm/final.dubm", full.diagonal())
    write_frame_config(folder / "ubm", FrameConfig(delta_order=0))
    return folder


@pytest.fixture(scope="module")
def trained(corpus, root) -> Path:
    """The corpus with the extractor ext."""
    done = subprocess.run(
        ["bash", "-c", f'. "{root}/path.sh"; {TRAIN} data ubm ext'], cwd=corpus, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return corpus


@pytest.fixture
def work(trained, tmp_path) -> Path:
    """A copy to spoil, without logs."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path


def refused(finished: subprocess.CompletedProcess, *parts: str) -> None:
    assert finished.returncode == 1, finished.stderr
    assert "Traceback" not in finished.stderr
    for part in parts:
        assert part in finished.stderr


@pytest.fixture
def command(work, monkeypatch) -> Callable[[str], str]:
    """`command("extract_ivectors ext data out")` runs spk.bin.extract_ivectors here; returns its error, '' if none."""

    def run(line: str) -> str:
        monkeypatch.chdir(work)
        monkeypatch.setattr("sys.argv", line.split())
        try:
            importlib.import_module(f"spk.bin.{line.split()[0]}").main()
        except SystemExit as stopped:
            assert "\n" not in stopped.code
            return stopped.code
        return ""

    return run


def test_training_says_how_the_likelihood_rises_and_does_nothing_the_second_time(work, shell):
    lines = [line for line in (work / "ext/log/train.log").read_text().splitlines() if line.startswith("iteration ")]
    values = [float(line.split(": ")[1].split()[0]) for line in lines]
    assert len(values) == ITERATIONS
    assert values == sorted(values)
    assert "71 utterances" in lines[0]
    assert (work / "ext/missing").read_text() == f"{SILENT}\n"
    assert (work / "ext/final.ie").read_bytes() == (work / f"ext/{ITERATIONS}.ie").read_bytes()
    assert read_extractor(work / "ext/final.ie").projections.shape == (NUM_GAUSS, DIM, IVECTOR_DIM)
    for name in ("final.ubm", "final.dubm", "frames.yaml"):
        assert (work / "ext" / name).read_bytes() == (work / "ubm" / name).read_bytes()
    changed = (work / "ext/final.ie").stat().st_mtime_ns
    assert "already trained" in shell(f"{TRAIN} data ubm ext", check=True).stderr
    assert (work / "ext/final.ie").stat().st_mtime_ns == changed


def test_training_that_was_killed_ends_with_the_same_bytes(work, command, root, caplog):
    line = f"train_ivector_extractor {OPTIONS} --device cpu data ubm again"
    process = subprocess.Popen(
        ["bash", "-c", f'. "{root}/path.sh"; python3 -m spk.bin.{line}'], cwd=work, stderr=subprocess.DEVNULL
    )
    kill_when(process, (work / "again/1.ie").exists)
    assert not (work / "again/final.ie").exists()
    assert not (work / "again/0.ie").exists()
    with caplog.at_level("INFO"):
        assert not command(line)
    assert "goes on after iteration " in caplog.text
    assert (work / "again/final.ie").read_bytes() == (work / "ext/final.ie").read_bytes()


def test_other_options_do_not_end_with_the_model_that_is_there(work, command, caplog):
    with caplog.at_level("INFO"):
        assert not command(f"train_ivector_extractor {OPTIONS} --ivector-dim 3 --num-iters 1 --device cpu data ubm ext")
    assert "begins again, because this changed: ivector_dim" in caplog.text
    assert read_extractor(work / "ext/final.ie").ivector_dim == 3
    assert not (work / "ext/.done").exists()
    assert {path.name for path in (work / "ext").glob("*.ie")} == {"1.ie", "final.ie"}


def test_a_run_that_another_kind_of_device_began_is_begun_again(work, command, caplog):
    record = work / "ext/training.json"
    record.write_text(record.read_text().replace('"cpu"', '"cuda"'))
    with caplog.at_level("INFO"):
        assert not command(f"train_ivector_extractor {OPTIONS} --device cpu data ubm ext")
    assert "begins again, because this changed: device" in caplog.text
    assert "iteration 1 of" in caplog.text


def test_two_trainings_in_one_folder_are_refused_and_nothing_is_lost(work, shell):
    before = {path.name: path.read_bytes() for path in (work / "ext").iterdir() if path.is_file()}
    with locked(work / "ext"):
        refused(shell(f"{TRAIN} --seed 2 data ubm ext"), "ext is in use by process")
    after = {path.name: path.read_bytes() for path in (work / "ext").iterdir() if path.is_file()}
    assert {**after, ".lock": b""} == {**before, ".lock": b""}


def test_the_host_that_submits_needs_no_gpu(work, shell):
    (work / "submit").write_text('#!/bin/sh\necho "$@" >>submitted\nexit 3\n')
    (work / "submit").chmod(0o755)
    for line in (
        f"{TRAIN} --ngpu 1 --cmd ./submit data ubm new",
        "extract_ivectors --nj 1 --ngpu 1 --cmd ./submit ext data out",
    ):
        done = shell(line, env={"CUDA_VISIBLE_DEVICES": ""})
        assert done.returncode == 3, done.stderr
    submitted = (work / "submitted").read_text().splitlines()
    assert len(submitted) == 2
    assert all("--gpu 1" in line and "--device cuda" in line for line in submitted)


def test_ivectors_tell_speakers_apart_and_do_not_depend_on_the_number_of_jobs(work, shell, command):
    first = shell("extract_ivectors --nj 2 ext data out", check=True)
    assert (
        "1 utterances have no features or no voiced frames and get no i-vector; they are listed in out/missing"
        in first.stderr
    )
    assert (work / "out/missing").read_text() == f"{SILENT}\n"
    names, ivectors = read_vectors(work / "out/embedding.scp")
    assert names == [name for name in UTTERANCES if name != SILENT]
    unit = ivectors / np.linalg.norm(ivectors, axis=1, keepdims=True)
    cosines = unit @ unit.T - 3 * np.eye(len(names))
    nearest = [names[row] for row in cosines.argmax(axis=1)]
    assert np.mean([a[:3] == b[:3] for a, b in zip(names, nearest, strict=True)]) > 0.8  # by chance: 0.07

    assert not command("extract_ivectors ext data one")
    names_of_one, ivectors_of_one = read_vectors(work / "one.scp")
    assert names_of_one == names
    np.testing.assert_allclose(ivectors_of_one, ivectors, rtol=0, atol=1e-5)


def test_features_or_voice_activity_made_again_under_the_same_scp_are_noticed(work, shell):
    told = {".feats.done": "{}\n", "feats.yaml": "{}\n", ".vad.done": "{}\n"}
    told["utt2num_frames"] = "".join(f"{name} 100\n" for name in UTTERANCES)
    for name, content in told.items():
        (work / "data" / name).write_text(content)
    done = shell(f"{TRAIN} data ubm ext; extract_ivectors --nj 1 ext data out", check=True)
    assert (
        "begins again, because this changed: data/.feats.done, data/.vad.done, data/feats.yaml, data/utt2num"
        in done.stderr
    )
    for stamp in ("ext/.done", "out/.done"):
        assert {f"data/{name}" for name in told} < json.loads((work / stamp).read_text()).keys()
    (work / "data/.vad.done").write_text('{"energy_threshold": "4"}\n')
    done = shell("extract_ivectors --nj 1 ext data out", check=True)
    assert "made again, because this changed: data/.vad.done" in done.stderr


def test_a_job_that_was_killed_is_done_again_and_the_others_are_not(work, shell):
    shell("extract_ivectors --nj 2 ext data out", check=True)
    whole, kept = (work / "out/embedding.scp").read_bytes(), (work / "out/embedding.1.ark").stat().st_mtime_ns
    for name in (".done", "embedding.scp", "embedding.2.scp", "embedding.2.ark"):
        (work / "out" / name).unlink()
    shell("extract_ivectors --nj 2 ext data out", check=True)
    assert (work / "out/embedding.1.ark").stat().st_mtime_ns == kept
    assert (work / "out/embedding.scp").read_bytes() == whole
    assert read_vectors(work / "out/embedding.scp")[1].shape == (len(UTTERANCES) - 1, IVECTOR_DIM)


def test_a_limit_on_frames_draws_ivectors_to_the_prior(work, command):
    lengths = []
    for max_count in (0, 5):
        assert not command(f"extract_ivectors --max-count {max_count} ext data at{max_count}")
        lengths.append(np.linalg.norm(read_vectors(work / f"at{max_count}.scp")[1], axis=1))
    assert (lengths[1] < lengths[0]).mean() > 0.9


def test_an_extractor_for_other_features_is_refused_and_nothing_is_lost(work, shell, command):
    (work / "out").mkdir()
    for path in ("out/embedding.scp", "out/.begun", "out/.done"):
        (work / path).write_text("{}\n")
    wide = {name: np.zeros((50, DIM + 1), np.float32) for name in UTTERANCES}
    kaldiio.save_ark(str(work / "data/wide.ark"), wide, scp=str(work / "data/feats.scp"))
    refused(shell("extract_ivectors ext data out"), "features of 4 values", "ext/final.ie is for 3")
    assert (work / "out/embedding.scp").read_text() == "{}\n"
    assert "ubm/final.ubm is for 3" in command(f"train_ivector_extractor {OPTIONS} data ubm new")
    assert not (work / "new").exists()


def test_another_ubm_than_the_extractors_is_refused(work, command):
    full = read_full_gmm(work / "ubm/final.ubm")
    fewer = FullGmm(full.weights[1:], full.means[1:], full.covariances[1:])
    write_full_gmm(work / "ext/final.ubm", fewer)
    write_diagonal_gmm(work / "ext/final.dubm", fewer.diagonal())
    message = "ext/final.ie: is for 4 Gaussians of 3 values, but final.ubm has 3 of 3"
    assert message in command("extract_ivectors ext data out")


def test_damaged_and_missing_files_are_one_line(work, command, shell):
    content = (work / "ext/final.ie").read_bytes()
    (work / "ext/final.ie").write_bytes(content[: len(content) // 2])
    assert "truncated or damaged" in command("extract_ivectors ext data out")
    assert not list(work.glob("out*"))
    (work / "data/vad.scp").unlink()
    refused(shell("extract_ivectors ext data out"), "data/vad.scp: no such file; run the stage that makes it first")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--min-post 2", "min_post: 2.0 is out of range"),
        ("--ivector-dim 1", "--ivector-dim: 1 is out of range"),
        ("--seed 99999999999999999999", "--seed: 99999999999999999999 is out of range"),
        ("--seed -1", "--seed: -1 is out of range"),
    ],
)
def test_an_option_out_of_range_is_named(option, message, work, command):
    assert message in command(f"train_ivector_extractor {OPTIONS} {option} data ubm new")
    assert not (work / "new").exists()


def test_the_small_recipe_goes_from_speech_to_a_table_some_stages_at_a_time(tmp_path, root):
    make_corpus(tmp_path / "buzz", train_speakers=4, test_speakers=2, utterances=4, seconds=1.5)
    options = "--corpus buzz --data data --exp exp --num-gauss 8 --ivector-dim 6 --backends plda --threads 1 --nj 1"

    def recipe(stages: str) -> str:
        command = [root / "egs/mini/ivector.sh", *options.split(), *stages.split()]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    recipe("--stop-stage 1")
    assert (tmp_path / "data/train/utt2spk").exists()
    assert not (tmp_path / "exp").exists()
    recipe("--stage 2 --stop-stage 5")
    assert read_extractor(tmp_path / "exp/extractor/final.ie").projections.shape == (8, 72, 6)
    assert len(read_vectors(tmp_path / "exp/embeddings_train/embedding.scp")[0]) == 16
    table = recipe("--stage 6")
    assert "plda" in table and "EER" in table
    assert (tmp_path / "exp/scores_test_buzz_plda").exists()
