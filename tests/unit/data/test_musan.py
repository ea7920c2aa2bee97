"""MUSAN's folders as data directories, made from a tree of its form."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spk.data.data_dir import read_table
from spk.data.noise_dir import read_noise_dir

RECORDINGS = {
    "noise/free-sound": ["noise-free-sound-0000", "noise-free-sound-0001"],
    "noise/sound-bible": ["noise-sound-bible-0000"],
    "music/fma": ["music-fma-0000", "music-fma-0001"],
    "music/rfm": ["music-rfm-0000"],
    "speech/librivox": ["speech-librivox-0000"],
    "speech/us-gov": ["speech-us-gov-0000"],
}


@pytest.fixture
def musan(tmp_path) -> Path:
    root = tmp_path / "musan"
    for number, (folder, names) in enumerate(RECORDINGS.items()):
        (root / folder).mkdir(parents=True)
        (root / folder / "LICENSE").write_text("public domain\n")
        for name in names:
            soundfile.write(root / folder / f"{name}.wav", np.zeros(1600 * (number + 1)), 16000)
    (root / "music/fma/ANNOTATIONS").write_text(
        "music-fma-0000 jazz,world N Ada\nmusic-fma-0001 pop Y The_Two\nmusic-fma-0009 pop N Nobody\n"
    )
    (root / "music/rfm/ANNOTATIONS").write_text("music-rfm-0000 classical N J. S. Bach\n")
    (root / "README").write_text("MUSAN\n")
    return root


def prepare(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spk.bin.prepare_musan", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def done(*arguments: object) -> str:
    finished = prepare(*arguments)
    assert finished.returncode == 0, finished.stderr
    return finished.stderr


def error(*arguments: object) -> str:
    finished = prepare(*arguments)
    assert finished.returncode == 1 and finished.stderr.count("\n") == 1, finished.stderr
    return finished.stderr


@pytest.mark.parametrize("given", ["musan", "."])
def test_each_kind_is_a_valid_data_directory_with_lengths(given, musan, tmp_path, shell):
    said = done(tmp_path / given, tmp_path / "data")
    assert f"{tmp_path}/data/musan_noise: 3 recordings" in said
    for kind in ("noise", "music", "speech"):
        folder = tmp_path / "data" / f"musan_{kind}"
        shell('validate_data_dir.sh "$1"', folder, check=True)
        names = [name for place, found in RECORDINGS.items() if place.startswith(kind) for name in found]
        assert list(read_table(folder / "wav.scp")) == sorted(names)
    assert (
        read_table(tmp_path / "data/musan_music/wav.scp")["music-rfm-0000"] == f"{musan}/music/rfm/music-rfm-0000.wav"
    )
    assert read_noise_dir(tmp_path / "data/musan_speech").durations == [0.5, 0.6]


def test_music_with_vocals_is_left_out_when_asked_and_named(musan, tmp_path):
    soundfile.write(musan / "music/rfm/music-rfm-0001.wav", np.zeros(100), 16000)
    said = done("--use-vocals", "false", musan, tmp_path / "data")
    assert "music with vocals is left out, 1: music-fma-0001" in said
    assert "no ANNOTATIONS say whether it has vocals is left out, 1: music-rfm-0001" in said
    assert list(read_table(tmp_path / "data/musan_music/wav.scp")) == ["music-fma-0000", "music-rfm-0000"]
    said = done(musan, tmp_path / "data")
    assert "musan_noise: already made" in said and "musan_music is made again" in said
    assert len(read_table(tmp_path / "data/musan_music/wav.scp")) == 4


def test_recordings_that_cannot_be_used_are_listed_and_taken_up_when_they_are_mended(musan, tmp_path):
    broken = musan / "noise/free-sound/noise-free-sound-0001.wav"
    sound = broken.read_bytes()
    broken.write_bytes(sound[:60])
    said = done(musan, tmp_path / "data")
    assert f"1 of 3 recordings are left out, listed in {tmp_path}/data/musan_noise/rejected.tsv" in said
    listed = (tmp_path / "data/musan_noise/rejected.tsv").read_text()
    assert listed.startswith(f"noise-free-sound-0001\t{broken}\ttruncated")
    assert "already made" in done(musan, tmp_path / "data")
    broken.write_bytes(sound)
    done(musan, tmp_path / "data")
    assert len(read_table(tmp_path / "data/musan_noise/wav.scp")) == 3
    assert not (tmp_path / "data/musan_noise/rejected.tsv").exists()


def test_what_is_no_musan_is_refused(musan, tmp_path):
    assert "has no folders noise, music, speech" in error(tmp_path / "nowhere", tmp_path / "data")
    soundfile.write(musan / "noise/sound-bible/noise-free-sound-0000.wav", np.zeros(100), 16000)
    assert "two recordings are called 'noise-free-sound-0000'" in error(musan, tmp_path / "data")
    (musan / "noise/sound-bible/noise-free-sound-0000.wav").unlink()
    (musan / "music/rfm/ANNOTATIONS").write_text("music-rfm-0000 classical maybe Bach\n")
    assert "rfm/ANNOTATIONS:1: wanted 'recording genres Y|N artist'" in error("--use-vocals", "false", musan, "data")
    for path in musan.glob("speech/*/*.wav"):
        path.unlink()
    assert "no recording is" in error(musan, tmp_path / "data")
    assert not (tmp_path / "data").exists()
