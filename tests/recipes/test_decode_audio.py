"""steps/decode_audio: jobs, kills, a full disk, files at fault, and what is refused."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from processes import kill_when, waits_for

from spk.data.audio import read_audio
from spk.data.data_dir import read_table


def files(folder: Path) -> dict[str, bytes]:
    """{path below the folder: content} of all but logs and the step's own lists."""
    found = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {str(path): content for path, content in found.items() if path.parts[0] not in ("log", ".decode_audio")}


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> bytes:
    """A second of noise as M4A."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    folder = tmp_path_factory.mktemp("recording")
    soundfile.write(folder / "a.wav", 0.1 * np.random.default_rng(1).normal(size=16000), 16000)
    subprocess.run(["ffmpeg", "-nostdin", "-loglevel", "error", "-i", folder / "a.wav", folder / "a.m4a"], check=True)
    return (folder / "a.m4a").read_bytes()


@pytest.fixture
def source(tmp_path, recording) -> Path:
    """90 recordings in 15 folders."""
    for number in range(90):
        path = tmp_path / f"source/dev/aac/id000{number // 18:02d}/video {number // 6}/{number % 6:05d}.m4a"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(recording)
    return tmp_path / "source"


def refusal(finished) -> str:
    assert finished.returncode == 1 and "Traceback" not in finished.stderr, finished.stderr
    lines = [line for line in finished.stderr.splitlines() if "decode_audio: error: " in line]
    assert len(lines) == 1, finished.stderr
    return lines[0]


def test_every_file_is_decoded_to_the_same_bytes_by_any_number_of_jobs(shell, tmp_path, source):
    done = shell("decode_audio --nj 1 source one", check=True)
    shell("decode_audio --nj 3 source/ three/", check=True)
    one = files(tmp_path / "one")
    assert one == files(tmp_path / "three") and len(one) == 90
    assert one.keys() == {str(path.relative_to(source).with_suffix(".flac")) for path in source.rglob("*.m4a")}
    assert done.stderr.splitlines() == [
        "decode_audio: 90 files of source, 90 of them to decode -> one",
        "one: 90 of 90 files are decoded",
    ]
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "one").rglob("*.flac")}
    again = shell("decode_audio --nj 3 source one", check=True)
    assert again.stderr == "decode_audio: one: already decoded, 90 files\n"
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "one").rglob("*.flac")} == times


def test_killed_in_the_middle_it_carries_on_with_what_is_missing(shell, root, tmp_path, source):
    dest = tmp_path / "dest"
    step = subprocess.Popen([root / "steps/decode_audio", "--nj", "1", source, dest], stderr=subprocess.DEVNULL)
    kill_when(step, lambda: any(dest.rglob("*.flac")))
    before = {path: path.stat().st_mtime_ns for path in dest.rglob("*.flac")}
    assert 0 < len(before) < 90
    assert all(soundfile.info(path).frames for path in before)
    done = shell("decode_audio --nj 2 source dest", check=True)
    assert f"90 files of source, {90 - len(before)} of them to decode" in done.stderr
    assert f"90 of 90 files are decoded, {len(before)} of them before" in done.stderr
    assert before.items() < {path: path.stat().st_mtime_ns for path in dest.rglob("*.flac")}.items()
    shell("decode_audio source untouched", check=True)
    assert files(dest) == files(tmp_path / "untouched")


def test_of_two_calls_into_one_folder_the_second_waits(root, tmp_path, source):
    said = waits_for(tmp_path / "dest", [root / "steps/decode_audio", source, "dest"], tmp_path)
    assert said[0] == "decode_audio: waiting for another call that decodes into dest\n"
    assert len(files(tmp_path / "dest")) == 90


def test_rejected_files_are_listed_and_too_many_fail_the_step(shell, tmp_path, source, recording):
    folder = source / "it's $(touch x)"
    folder.mkdir()
    (folder / 'a "b".m4a').write_bytes(recording)
    (folder / "text.m4a").write_text("words\n")
    (folder / "empty.m4a").write_bytes(b"")
    said = refusal(shell("decode_audio --nj 2 source dest"))
    assert "91 of 93 files are decoded; 2 (2.2 %) are rejected" in said
    assert "listed in dest/rejected.tsv, first it's $(touch x)/empty.m4a: empty file" in said
    lines = [line.split("\t") for line in (tmp_path / "dest/rejected.tsv").read_text().splitlines()]
    assert lines == [
        ["it's $(touch x)/empty.m4a", str(folder / "empty.m4a"), "empty file"],
        [
            "it's $(touch x)/text.m4a",
            str(folder / "text.m4a"),
            "no audio that can be read: cut off, or no MPEG-4 at all",
        ],
    ]
    passed = shell("decode_audio --max-rejected 2.5 source dest", check=True)
    assert passed.stderr.splitlines()[-1] == (
        "dest: 91 of 93 files are decoded, 91 of them before; 2 (2.2 %) are rejected, listed in dest/rejected.tsv"
    )
    (folder / "text.m4a").write_bytes(recording)
    (folder / "empty.m4a").unlink()
    shell("decode_audio source dest", check=True)
    assert not (tmp_path / "dest/rejected.tsv").exists() and len(files(tmp_path / "dest")) == 92


def test_a_full_disk_is_one_line_and_leaves_whole_files(shell, tmp_path, source, disk_of):
    disk = disk_of("2m")
    finished = shell('decode_audio --nj 1 source "$1"/dest', disk)
    assert "the disk is full; free some space and run the same command again" in refusal(finished)
    there = files(disk / "dest")
    assert 0 < len(there) < 90 and not any(name.endswith("partial") for name in there)
    assert all(soundfile.info(disk / "dest" / name).frames for name in there)
    subprocess.run(["mount", "-o", "remount,size=16m", disk], check=True)
    shell('decode_audio --nj 1 source "$1"/dest', disk, check=True)
    assert len(files(disk / "dest")) == 90


def test_decoded_files_hold_what_pipes_would_decode(shell, tmp_path, recording):
    for name in ("00001", "it's (2)"):
        path = tmp_path / f"vox2_dev_aac/dev/aac/id00012/video/{name.replace(' ', '_')}.m4a"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(recording)
    shell("decode_audio --nj 2 --format wav vox2_dev_aac decoded; prepare_voxceleb decoded data", check=True)
    shell("prepare_voxceleb --pipes true vox2_dev_aac piped", check=True)
    entries = [read_table(tmp_path / folder / "vox2_dev/wav.scp") for folder in ("data", "piped")]
    assert entries[0].keys() == entries[1].keys() and len(entries[0]) == 2
    for decoded, pipe in zip(entries[0].values(), entries[1].values(), strict=True):
        expected = read_audio(pipe, 16000, allow_pipes=True)
        np.testing.assert_array_equal(read_audio(decoded, 16000).samples, expected.samples)
        assert len(expected.samples) >= 16000


@pytest.mark.parametrize(
    "arguments, said",
    [
        ("nowhere dest", "nowhere: no such folder"),
        ("a.m4a dest", "a.m4a: no such folder"),
        ("empty dest", "empty: no file below it is one of .m4a"),
        ("twice dest", "twice/1.m4a and"),
        ("--format mp3 twice dest", "--format takes flac or wav, not 'mp3'"),
        ("--sample-rate 16k twice dest", "--sample-rate takes a whole number of Hz"),
        ("--nj 0 twice dest", "--nj takes a whole number above 0"),
        ("--max-rejected x twice dest", "--max-rejected takes a percentage"),
        ("twice", "takes SOURCE and DEST, not 1 arguments"),
    ],
)
def test_what_cannot_be_used_is_one_line(shell, tmp_path, recording, arguments, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "twice").mkdir()
    for path in ("a.m4a", "twice/1.m4a", "twice/1.mp4"):
        (tmp_path / path).write_bytes(recording)
    assert said in refusal(shell(f"decode_audio {arguments}"))
    assert not (tmp_path / "dest/.decode_audio/settings.json").exists()


def test_another_way_or_source_into_the_same_folder_is_refused(shell, tmp_path, recording):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.m4a").write_bytes(recording)
    shell("decode_audio first dest", check=True)
    for arguments, what in (
        ("--sample-rate 8000 first", "sample_rate"),
        ("--format wav first", "format"),
        ("second", "source"),
    ):
        assert f"dest: was decoded with another {what};" in refusal(shell(f"decode_audio {arguments} dest"))
    shell('decode_audio "$1" dest', tmp_path / "first", check=True)


def test_without_ffmpeg_it_says_so_before_anything_else(shell, root, tmp_path):
    (tmp_path / "bin").mkdir()
    for tool in ("bash", "dirname"):
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    finished = shell(f"PATH=$PWD/bin; bash {root}/steps/decode_audio source dest")
    assert refusal(finished).endswith("ffmpeg is not installed (apt-get install ffmpeg)")
    assert not (tmp_path / "dest").exists()
