"""compute_vad and train_ubm on MFCC of drawn sound: what they write, what they refuse, and when they do nothing."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
import yaml

MFCC = {"name": "kaldi_mfcc", "num_ceps": 6, "snip_edges": False}
TRAIN = (
    "train_ubm --num-gauss 8 --num-init-iters 4 --num-diag-iters 1 --num-full-iters 2 --num-gselect 5 --subsample 2 "
    "--ngpu 0 --threads 1 data"
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, root) -> Path:
    """data/ with MFCC and voice activity of eight noises that come and go, and one silence."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "data").mkdir()
    random = np.random.default_rng(0)
    lines = []
    for number in range(9):
        name = f"s{number % 3}-{number}"
        noise = np.convolve(random.standard_normal(48_000), random.standard_normal(30), mode="same")
        loudness = np.repeat(random.integers(2, size=30), 1600) * (number > 0)
        soundfile.write(folder / f"{name}.wav", 0.02 * noise * loudness, 16_000)
        lines.append((name, f"{folder}/{name}.wav"))
    lines.sort()
    (folder / "data" / "wav.scp").write_text("".join(f"{name} {path}\n" for name, path in lines))
    (folder / "data" / "utt2spk").write_text("".join(f"{name} {name[:2]}\n" for name, _ in lines))
    (folder / "mfcc.yaml").write_text(yaml.safe_dump(MFCC))
    done = subprocess.run(
        ["bash", "-c", f'. "{root}/path.sh"; make_feats --nj 1 --config mfcc.yaml data; compute_vad data'],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def work(prepared, tmp_path) -> Path:
    """The same without voice activity."""
    (tmp_path / "data").mkdir()
    for name in ("feats.scp", "feats.yaml", "utt2spk", "utt2num_frames", "wav.scp"):
        (tmp_path / "data" / name).write_bytes((prepared / "data" / name).read_bytes())
    return tmp_path


def made(folder: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_from_features_to_a_ubm_and_the_second_time_nothing(work, shell):
    first = shell(f"compute_vad data; {TRAIN} ubm", check=True)
    assert "1 utterances have no voiced frame; they are listed in data/unvoiced" in first.stderr
    assert (work / "data/unvoiced").read_text() == "s0-0\n"
    vad = kaldiio.load_scp(str(work / "data/vad.scp"))
    features = kaldiio.load_scp(str(work / "data/feats.scp"))
    assert vad.keys() == features.keys()
    assert 0.2 < np.mean([vad[name].mean() for name in vad]) < 0.8
    assert all(len(vad[name]) == len(features[name]) and set(vad[name]) <= {0, 1} for name in vad)
    assert (work / "ubm/final.ubm").read_bytes().startswith(b"\0B<FullGMM> <GCONSTS> FV ")
    assert (work / "ubm/final.dubm").read_bytes().startswith(b"\0B<DiagGMM> <GCONSTS> FV ")
    config = yaml.safe_load((work / "ubm/frames.yaml").read_text())
    assert (config["delta_window"], config["delta_order"], config["cmn_window"]) == (3, 2, 300)
    assert config["features"]["num_ceps"] == 6
    assert "full 2 of 2: -" in (work / "ubm/log/train.log").read_text()

    files = made(work)
    second = shell(f"compute_vad data; {TRAIN} ubm", check=True)
    assert second.stderr.splitlines() == [
        "compute_vad: data/vad.scp: already made",
        "train_ubm: ubm/final.ubm: already trained",
    ]
    assert made(work) == files
    other = shell(f"compute_vad --vad-energy-threshold 4 data; {TRAIN} ubm", check=True)
    assert "made again, because this changed: energy_threshold" in other.stderr
    assert "made again, because this changed: data/.vad.done" in other.stderr


def test_a_killed_training_is_carried_on_to_the_same_bytes(work, prepared, shell, root):
    shell(f"cp {prepared}/data/vad.scp data; {TRAIN} whole", check=True)
    (work / "killed").mkdir()
    line = TRAIN.replace("train_ubm", "exec python3 -m spk.bin.train_ubm").replace("--ngpu 0", "--device cpu")
    process = subprocess.Popen(
        ["bash", "-c", f'. "{root}/path.sh"; {line} killed'], cwd=work, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 100
    while not (work / "killed/init.1").exists() and not (work / "killed/init.2").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (work / "killed/final.ubm").exists()
    resumed = shell(f"{TRAIN} killed", check=True)
    assert "carrying on from there" in (work / "killed/log/train.log").read_text()
    assert resumed.stderr.endswith("train_ubm: killed/final.ubm, killed/final.dubm\n")
    for name in ("final.ubm", "final.dubm", "frames.yaml"):
        assert (work / "killed" / name).read_bytes() == (work / "whole" / name).read_bytes()


def test_a_host_without_gpu_submits_a_job_with_one(work, prepared, shell):
    done = shell(f"cp {prepared}/data/vad.scp data; {TRAIN.replace('--ngpu 0', '--ngpu 1 --cmd echo')} ubm", check=True)
    assert "--gpu 1 ubm/log/train.log python3 -m spk.bin.train_ubm" in done.stdout
    assert "--device cuda data ubm" in done.stdout


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ("name: fbank40\n", r"the features are fbank40; only kaldi_mfcc with use_energy true"),
        ("name: kaldi_mfcc\nuse_energy: false\n", "use_energy is False; only kaldi_mfcc"),
        ("name: kaldi_mfcc\nhtk_compat: true\n", "htk_compat is True; only kaldi_mfcc"),
    ],
)
def test_features_without_energy_make_no_vad(work, shell, features, message):
    (work / "data/feats.yaml").write_text(features)
    done = shell("compute_vad data")
    assert done.returncode == 1
    assert f"compute_vad: error: data/feats.yaml: {message}" in done.stderr
    assert not (work / "data/vad.scp").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"{TRAIN} ubm", "train_ubm: error: data/vad.scp: no such file; run steps/compute_vad data first"),
        ("train_ubm data", "train_ubm: error: it takes 2 arguments, not 1"),
        ("train_ubm --ngpu 2 data ubm", "train_ubm: --ngpu takes 0 or 1, not '2'"),
        (
            "cp $PREPARED/data/vad.scp data; train_ubm --ngpu 0 --num-gauss x data ubm",
            "train_ubm: error: --num-gauss: 'x' must be a whole number",
        ),
        (
            "cp $PREPARED/data/vad.scp data; train_ubm --ngpu 0 --min-gaussian-weight 2 data ubm",
            "train_ubm: error: --min-gaussian-weight: 2.0 is out of range; allowed: above 0 and at most 1",
        ),
        (
            "cp $PREPARED/data/vad.scp data; train_ubm --ngpu 0 --threads 1 --num-gauss 500 data ubm",
            "voiced frames are too few for 500 Gaussians, for each needs 10; give more data, or at most --num-gauss",
        ),
        (
            "compute_vad --vad-frames-context 0.5 data",
            "compute_vad: error: --vad-frames-context: 0.5 must be a whole number",
        ),
    ],
)
def test_what_cannot_be_is_one_line(work, prepared, shell, line, message):
    done = shell(line, env={"PREPARED": str(prepared)})
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (work / "ubm/final.ubm").exists()
