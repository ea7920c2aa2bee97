"""RIRS_NOISES as a data directory of room responses, made from a tree of its form."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spk.data.data_dir import read_table


@pytest.fixture
def rirs(tmp_path) -> Path:
    """Two rooms of two responses in each simulated list, and two recorded responses, one of several channels."""
    root = tmp_path / "RIRS_NOISES"
    for size in ("smallroom", "mediumroom", "largeroom"):
        lines = []
        for room in ("001", "002"):
            for number in ("00001", "00002"):
                place = f"simulated_rirs/{size}/Room{room}/Room{room}-{number}.wav"
                write(root / place)
                lines.append(
                    f"--rir-id {size[:-4]}_room_{room}_{number} --room-id {size[:-4]}_room_{room} RIRS_NOISES/{place}\n"
                )
        (root / "simulated_rirs" / size / "rir_list").write_text("".join(lines))
        (root / "simulated_rirs" / size / "room_info").write_text("Room001\n")
    folder = root / "real_rirs_isotropic_noises"
    write(folder / "RVB2014_type1_rir_largeroom1_far_angla.wav", channels=8)
    write(folder / "air_type1_air_binaural_booth_0_1.wav", channels=2)
    (folder / "rir_list").write_text(
        "--rir-id 00001 --room-id RVB2014_largeroom1 "
        "RIRS_NOISES/real_rirs_isotropic_noises/RVB2014_type1_rir_largeroom1_far_angla.wav\n"
        "--rir-id 00002 --room-id air_booth --rt-60 0.3 "
        "RIRS_NOISES/real_rirs_isotropic_noises/air_type1_air_binaural_booth_0_1.wav\n"
    )
    return root


def write(path: Path, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.eye(1600, channels), 16000)


def prepare(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spk.bin.prepare_rirs", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def error(*arguments: object) -> str:
    finished = prepare(*arguments)
    assert finished.returncode == 1 and finished.stderr.count("\n") == 1, finished.stderr
    return finished.stderr


def test_small_and_medium_rooms_are_taken_as_in_kaldis_recipe(rirs, tmp_path, shell):
    for given in (rirs, tmp_path):
        finished = prepare(given, tmp_path / "data")
        assert finished.returncode == 0, finished.stderr
    assert "already made" in finished.stderr
    folder = tmp_path / "data/rirs"
    shell('validate_data_dir.sh "$1"', folder, check=True)
    paths, rooms = read_table(folder / "wav.scp"), read_table(folder / "rir2room")
    assert len(paths) == 8 and paths.keys() == rooms.keys()
    name = "smallroom-small_room_002_00001"
    assert paths[name] == f"{rirs}/simulated_rirs/smallroom/Room002/Room002-00001.wav"
    assert rooms[name] == "smallroom-small_room_002" and len(set(rooms.values())) == 4
    assert set(read_table(folder / "utt2dur").values()) == {"0.100000"}


def test_other_rooms_are_taken_when_asked(rirs, tmp_path):
    assert prepare("--rooms", "largeroom,real", rirs, tmp_path / "data").returncode == 0
    rooms = read_table(tmp_path / "data/rirs/rir2room")
    assert len(rooms) == 6 and rooms["real-00002"] == "real-air_booth"


def test_a_response_that_is_not_there_is_listed(rirs, tmp_path):
    (rirs / "simulated_rirs/mediumroom/Room001/Room001-00002.wav").unlink()
    finished = prepare(rirs, tmp_path / "data")
    assert finished.returncode == 0 and "1 of 8 recordings are left out" in finished.stderr
    assert "Room001-00002.wav\tno such file" in (tmp_path / "data/rirs/rejected.tsv").read_text()
    assert len(read_table(tmp_path / "data/rirs/rir2room")) == 7


@pytest.mark.parametrize(
    "line",
    [
        "RIRS_NOISES/simulated_rirs/x.wav",
        "--rir-id a RIRS_NOISES/simulated_rirs/x.wav",
        "--rir-id a --room-id b simulated_rirs/x.wav",
        "--rir-id a --room-id RIRS_NOISES/x.wav",
        "--rir-id a --room-id b RIRS_NOISES/../../etc/passwd",
    ],
)
def test_a_line_of_another_form_is_named(line, rirs, tmp_path):
    with (rirs / "simulated_rirs/smallroom/rir_list").open("a") as file:
        file.write(f"{line}\n")
    assert "smallroom/rir_list:5: wanted '--rir-id A --room-id B RIRS_NOISES/PATH'" in error(rirs, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_what_is_not_there_is_refused(rirs, tmp_path):
    assert "no list is called 'smalroom'; did you mean 'smallroom'" in error("--rooms", "smalroom", rirs, "data")
    assert "has no simulated_rirs/smallroom/rir_list" in error(tmp_path / "nowhere", tmp_path / "data")
    (rirs / "simulated_rirs/mediumroom/rir_list").unlink()
    assert "mediumroom/rir_list: no such file; --rooms names the lists" in error(rirs, tmp_path / "data")
    (rirs / "simulated_rirs/smallroom/rir_list").write_text("")
    assert "name no response" in error("--rooms", "smallroom", rirs, tmp_path / "data")
