"""One's own noises and room responses as data directories, with and without a split."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spk.data.data_dir import read_table


@pytest.fixture
def folder(tmp_path) -> Path:
    root = tmp_path / "own"
    for place in ("noise/rain/1.wav", "noise/rain/2.flac", "noise/dogs/1.WAV", "rir/hall.flac", "rir/room.wav"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / place, np.ones(1600), 16000, format="FLAC" if place.endswith("flac") else "WAV")
    return root


def prepare(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spk.bin.prepare_noise_folders", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def done(*arguments: object) -> str:
    finished = prepare(*arguments)
    assert finished.returncode == 0, finished.stderr
    return finished.stderr


def error(*arguments: object) -> str:
    finished = prepare(*arguments)
    assert finished.returncode == 1 and finished.stderr.splitlines()[-1].startswith("prepare_noise_folders: error: ")
    assert "Traceback" not in finished.stderr
    return finished.stderr


def split(folder: Path, *rows: str, kind: str = "noise", end: str = "\n") -> None:
    (folder / f"{kind}.tsv").write_text("".join(row.replace(" ", "\t") + end for row in rows), newline="")


def test_without_a_table_all_are_for_training(folder, tmp_path, shell):
    (folder / "noise/notes.txt").write_text("rain\n")
    (folder / "noise/rain/.hidden.wav").touch()
    said = done(folder, tmp_path / "data")
    assert "left out files that are no recordings, 1: " in said
    assert "data has noise_train, rir_train; there is no noise_test, no rir_test" in said
    for kind in ("noise", "rir"):
        assert f"own/{kind}.tsv: not there, so no recording of {folder}/{kind} is kept for testing" in said
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["noise_train", "rir_train"]
    table = read_table(tmp_path / "data/noise_train/wav.scp")
    assert table == {
        "dogs-1": f"{folder}/noise/dogs/1.WAV",
        "rain-1": f"{folder}/noise/rain/1.wav",
        "rain-2": f"{folder}/noise/rain/2.flac",
    }
    for name in ("noise_train", "rir_train"):
        shell('validate_data_dir.sh "$1"', tmp_path / "data" / name, check=True)
    assert "already made" in done(folder, tmp_path / "data")


def test_a_collection_may_have_noise_alone(folder, tmp_path):
    shutil.rmtree(folder / "rir")
    said = done(folder, tmp_path / "data")
    assert "data has noise_train; there is no noise_test, no rir_train, no rir_test" in said


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table_splits_training_from_testing(end, folder, tmp_path):
    rows = (
        "path class split",
        "noise/rain/1.wav rain test",
        "noise/rain/2.flac rain train",
        "noise/dogs/1.WAV dogs test",
    )
    split(folder, *rows, "noise/rain/9.wav rain train", end=end)
    said = done(folder, tmp_path / "data")
    assert "names recordings that are not there, 1: noise/rain/9.wav" in said
    assert list(read_table(tmp_path / "data/noise_test/wav.scp")) == ["dogs-1", "rain-1"]
    assert list(read_table(tmp_path / "data/noise_train/wav.scp")) == ["rain-2"]
    assert "data has noise_train, noise_test, rir_train; there is no rir_test" in said
    assert "noise.tsv: not there" not in said and "rir.tsv: not there" in said


def test_the_collection_of_the_tests_splits_as_its_tables_say(corpora, tmp_path):
    done(corpora / "noise-rir", tmp_path / "data")
    found = {
        name: read_table(tmp_path / "data" / name / "wav.scp") for name in ("noise_train", "noise_test", "rir_test")
    }
    rows = [line.split("\t") for line in (corpora / "noise-rir/noise.tsv").read_text().splitlines()[1:]]
    for name in ("train", "test"):
        expected = {str(corpora / "noise-rir" / row[0]) for row in rows if row[2] == name}
        assert set(found[f"noise_{name}"].values()) == expected
    assert len(found["rir_test"]) == 12


@pytest.mark.parametrize(
    "rows, message",
    [
        (["path kind", "noise/rain/1.wav x"], "noise.tsv:1: no column is named 'split'"),
        (["path split", "noise/rain/1.wav dev"], "noise.tsv:2: split 'dev'; allowed: train or test"),
        (["path split", "noise/rain/1.wav"], "noise.tsv:2: 1 fields, but the header has 2"),
        (["path split", *["noise/rain/1.wav test"] * 2], "noise.tsv:3: 'noise/rain/1.wav' stands on an earlier line"),
        (["path split", "noise/rain/1.wav test"], "noise.tsv: lacks recordings that are there, 2: "),
        (["path split", "/etc/passwd train"], "lacks recordings that are there, 3: "),
    ],
)
def test_a_faulty_table_is_named_with_its_line(rows, message, folder, tmp_path):
    split(folder, *rows)
    assert message in error(folder, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_what_cannot_be_prepared_is_refused(folder, tmp_path):
    assert "has neither a folder noise nor a folder rir" in error(tmp_path, tmp_path / "data")
    (folder / "noise/rain/a b.wav").touch()
    assert "there is a blank in its name" in error(folder, tmp_path / "data")
    (folder / "noise/rain/a b.wav").rename(folder / "noise/rain/1.flac")
    assert "both would be called 'rain-1'" in error(folder, tmp_path / "data")
    for path in (folder / "noise").rglob("*.*"):
        path.write_text("words\n")
    (folder / "noise/rain/1.flac").unlink()
    assert "none of the 3 recordings can be used; see" in error(folder, tmp_path / "data")
