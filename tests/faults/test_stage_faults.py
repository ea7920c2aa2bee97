"""A full disk, a read-only one, a folder of somebody else, inputs that vanish: what the other stages say of them."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from faults.conftest import fill
from recipes.speech import make_corpus

from spk.embed.write import write_embeddings

# Each writes below a folder `out`, and ends well where it can.
LINES = {
    "split_data": "split_data.sh out/data 2",
    "copy_data_dir": "copy_data_dir.sh data out/copy",
    "train_plda": "train_plda --lda-dim 3 data emb out/plda",
    "score": "score trials emb emb out/scores",
}


@pytest.fixture
def inputs(tmp_path) -> Path:
    """data, emb and trials: 8 speakers of 4 utterances."""
    random = np.random.default_rng(0)
    names = [f"s{speaker}-{utterance}" for speaker in range(8) for utterance in range(4)]
    vectors = np.repeat(3 * random.normal(size=(8, 6)), 4, axis=0) + random.normal(size=(32, 6))
    (tmp_path / "data").mkdir()
    (tmp_path / "emb").mkdir()
    (tmp_path / "data/utt2spk").write_text("".join(f"{name} {name[:2]}\n" for name in names))
    (tmp_path / "data/spk2utt").write_text(
        "".join(f"s{speaker} {' '.join(names[4 * speaker :][:4])}\n" for speaker in range(8))
    )
    (tmp_path / "data/wav.scp").write_text("".join(f"{name} {tmp_path}/{name}.wav\n" for name in names))
    write_embeddings(str(tmp_path / "emb/embedding"), names, vectors)
    (tmp_path / "trials").write_text(
        "".join(f"{a} {b} {'target' if a[:2] == b[:2] else 'nontarget'}\n" for a in names[:8] for b in names[2:10])
    )
    return tmp_path


def says(finished: subprocess.CompletedProcess[str], *parts: str) -> None:
    """It failed, and its last line has these parts."""
    assert finished.returncode not in (0, None), finished.stderr
    assert "Traceback" not in finished.stderr
    for part in parts:
        assert part in finished.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("name", LINES)
def test_a_full_disk_is_one_line_that_names_the_file_and_leaves_no_half_of_it(name, inputs, shell, disk_of):
    disk = disk_of("256k")
    (inputs / "out").symlink_to(disk)
    if name == "split_data":
        shell("cp -r data out/data", check=True)
    before = {path.name for path in disk.rglob("*") if path.is_file()}
    fill(disk)
    says(shell(LINES[name]), f"{name}: error: out/", "the disk is full; free some space and run the same command again")
    left = {path.name for path in disk.rglob("*") if path.is_file() and path.stat().st_size} - before - {"filler"}
    assert not [path for path in left if not path.startswith("utt2spk")], left
    (disk / "filler").unlink()
    shell(LINES[name], check=True)


@pytest.mark.parametrize("name", LINES)
def test_a_read_only_disk_is_one_line(name, inputs, shell, disk_of):
    disk = disk_of("256k")
    (inputs / "out").symlink_to(disk)
    shell("cp -r data out/data", check=True)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    says(shell(LINES[name]), f"{name}: error: out", "the file system is read-only; name another place")


@pytest.mark.parametrize("name", ["split_data", "train_plda", "score"])
def test_a_folder_of_another_user_is_one_line(name, inputs, protected_folder, shell):
    shell("mkdir theirs/data; cp -r data theirs; ln -s theirs out; chmod a-w theirs/data")
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", "65534:65534", inputs / "theirs"], check=True)
    says(protected_folder(LINES[name]), f"{name}: error: out/", "permission denied")


def test_a_log_that_a_full_disk_cuts_off_is_said_to_be(shell, tmp_path, disk_of):
    disk = disk_of("64k")
    finished = shell(f"run {disk}/x.log bash -c 'yes {'line ' * 20} 2>/dev/null | head -n 5000; echo why; exit 3'")
    assert finished.returncode == 3
    assert "(what came then is lost, for the disk is full)" in finished.stderr.splitlines()[-1]
    says(shell(f"run {disk}/y.log true"), f"run: error: {disk}/y.log: the disk is full")


def test_embeddings_that_vanish_or_are_cut_short_are_one_line(inputs, shell):
    ark = inputs / "emb/embedding.ark"
    content = ark.read_bytes()
    ark.write_bytes(content[:100])
    says(shell(LINES["score"]), f"{ark}:", "the file has 100: it is truncated")
    ark.unlink()
    says(shell(LINES["score"]), f"{ark}: no such file, though emb/embedding.scp points at it")
    ark.write_bytes(content)
    shell("mkdir out; " + LINES["score"], check=True)


def test_an_archive_that_is_cut_short_while_it_is_mapped_is_explained(shell, tmp_path):
    reader = "import mmap, os; f = open('x.ark', 'r+b'); m = mmap.mmap(f.fileno(), 0); os.truncate('x.ark', 0); m[0]"
    (tmp_path / "x.ark").write_bytes(b"x" * 8192)
    finished = shell(f'run x.log python3 -c "{reader}"')
    assert finished.returncode == 135
    assert "SIGBUS comes when a file is cut short while it is read" in finished.stderr


def test_memory_that_a_job_may_not_have_is_explained(shell):
    finished = shell("run x.log bash -c 'kill -KILL $$'")
    assert finished.returncode == 137
    assert "SIGKILL is also what the system does when memory runs out" in finished.stderr


def test_a_mended_recording_is_noticed_though_the_clock_went_back(shell, tmp_path):
    make_corpus(tmp_path / "buzz", train_speakers=2, test_speakers=2, utterances=2, seconds=1.0)
    shell("prepare_speaker_folders buzz data", check=True)
    broken = tmp_path / "buzz/wav/buzz000/s0/u00.wav"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:100])
    make = "make_feats --nj 1 --max-rejected 50 --config fbank40.yaml data/train"
    (tmp_path / "fbank40.yaml").write_text("features: {name: fbank40}\n")
    shell(make, check=True)
    broken.write_bytes(whole)
    yesterday = time.time() - 86400
    os.utime(broken, (yesterday, yesterday))
    assert "already made" not in shell(make, check=True).stderr
    assert len((tmp_path / "data/train/feats.scp").read_text().splitlines()) == 4
    assert not (tmp_path / "data/train/rejected.tsv").exists()
