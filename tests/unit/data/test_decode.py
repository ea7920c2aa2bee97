"""Decoding by ffmpeg: the samples, one call for many files, files at fault, and what is left when something fails."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spk.data.decode import Task, decode
from spk.data.decode_folder import check_names, encoded_files
from spk.errors import InputError

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")


def ffmpeg(*arguments: object) -> bytes:
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-y", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def encode(path: Path, samples: np.ndarray, rate: int, *options: object) -> Path:
    """Samples (a column for each channel) as a file of AAC or Opus, by its suffix."""
    wav = path.with_name("to_encode.wav")
    soundfile.write(wav, samples, rate)
    ffmpeg("-i", wav, *options, path)
    wav.unlink()
    return path


def noise(seconds: float, seed: int = 1) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).normal(size=round(16000 * seconds))


def outcomes(tasks: list[Task], sample_rate: int = 16000) -> dict[str, str]:
    """{name of the source: '' or the reason of its rejection}"""
    return {outcome.task.source.name: outcome.rejected for outcome in decode(tasks, sample_rate)}


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@needs_ffmpeg
@pytest.mark.parametrize("suffix", ["flac", "wav"])
@pytest.mark.parametrize("kind", ["m4a", "aac", "webm", "opus"])
def test_the_samples_are_those_that_ffmpeg_decodes_at_that_rate(tmp_path, suffix, kind):
    source, target = encode(tmp_path / f"speech.{kind}", noise(0.5), 16000), tmp_path / f"out.{suffix}"
    (outcome,) = decode([Task(source, target)], 16000)
    raw = np.frombuffer(ffmpeg("-i", source, "-ac", 1, "-ar", 16000, "-f", "s16le", "-"), dtype="<i2")
    samples, rate = soundfile.read(target, dtype="int16")
    assert rate == 16000 and soundfile.info(target).subtype == "PCM_16"
    np.testing.assert_array_equal(samples, raw)
    assert outcome.seconds == len(raw) / 16000 and not outcome.rejected


@needs_ffmpeg
def test_a_film_in_stereo_gives_its_sound_in_mono_at_the_wanted_rate(tmp_path):
    time = np.arange(48000) / 48000
    left, right = 0.4 * np.sin(2 * np.pi * 440 * time), np.zeros(48000)
    picture = ("-f", "lavfi", "-i", "color=size=32x32:duration=1")
    source = encode(tmp_path / "film.mp4", np.stack([left, right], axis=1), 48000, *picture, "-shortest")
    assert outcomes([Task(source, tmp_path / "out.flac")], 8000) == {"film.mp4": ""}
    samples, rate = soundfile.read(tmp_path / "out.flac")
    assert rate == 8000 and samples.ndim == 1 and len(samples) == pytest.approx(8000, abs=400)
    middle = samples[2000:6000] * np.hanning(4000)
    assert np.argmax(np.abs(np.fft.rfft(middle))) * 8000 / 4000 == 440
    assert np.abs(samples[2000:6000]).max() == pytest.approx(0.2, abs=0.02)  # the mean of 0.4 and 0


@needs_ffmpeg
@pytest.mark.parametrize("suffix", ["flac", "wav"])
def test_the_bytes_do_not_depend_on_what_else_is_decoded_nor_tell_a_version(tmp_path, suffix):
    sources = [encode(tmp_path / f"{n}.m4a", noise(0.2 + 0.1 * n, n), 16000, "-metadata", "title=x") for n in range(5)]
    together = [Task(source, tmp_path / f"together{n}.{suffix}") for n, source in enumerate(sources)]
    assert set(outcomes(together).values()) == {""}
    for n, source in enumerate(sources):
        outcomes([Task(source, tmp_path / f"alone.{suffix}")])
        content = (tmp_path / f"alone.{suffix}").read_bytes()
        assert content == together[n].target.read_bytes()
        assert b"Lavf" not in content and b"title" not in content
    # A header and the samples, no padding: 44 bytes in a WAV; FLAC of noise this loud is smaller than the samples.
    size, samples = together[0].target.stat().st_size, 2 * soundfile.info(together[0].target).frames
    assert size == 44 + samples if suffix == "wav" else size < samples


@needs_ffmpeg
def test_files_at_fault_are_rejected_each_with_its_reason_and_the_others_are_decoded(tmp_path):
    good = encode(tmp_path / "good.m4a", noise(2), 16000, "-movflags", "+faststart").read_bytes()
    bad = tmp_path / "bad"
    bad.mkdir()
    for name in ("0.m4a", 'it\'s a "good" one $(id).m4a', "9.m4a"):
        (bad / name).write_bytes(good)
    (bad / "cut.m4a").write_bytes(good[: len(good) // 2])
    encode(tmp_path / "index_last.m4a", noise(2), 16000)
    content = (tmp_path / "index_last.m4a").read_bytes()
    (bad / "index_lost.m4a").write_bytes(content[: len(content) // 2])
    (bad / "text.m4a").write_text("these are words\n")
    (bad / "empty.m4a").write_bytes(b"")
    (bad / "playlist.m4a").write_text("ffconcat version 1.0\nfile 0.m4a\n")
    ffmpeg("-f", "lavfi", "-i", "color=size=32x32:duration=0.2", bad / "silent_film.mp4")
    ffmpeg("-f", "lavfi", "-i", "anoisesrc=sample_rate=16000", "-t", "0", "-c:a", "aac", bad / "no_samples.m4a")
    out = tmp_path / "out"
    out.mkdir()
    found = outcomes([Task(path, out / f"{path.stem}.flac") for path in [*sorted(bad.iterdir()), bad / "missing.m4a"]])
    unreadable = "no audio that can be read: cut off, or no MPEG-4 at all"
    no_samples = found.pop("no_samples.m4a")
    assert found == {
        "0.m4a": "",
        'it\'s a "good" one $(id).m4a': "",
        "9.m4a": "",
        "cut.m4a": "cut off: the file ends before its audio",
        "index_lost.m4a": unreadable,
        "text.m4a": unreadable,
        "playlist.m4a": (
            "no audio that can be read: the content is in none of the formats of .m4a, .mp4, .aac, .webm, .opus"
        ),
        "empty.m4a": "empty file",
        "silent_film.mp4": "holds no audio stream",
        "missing.m4a": "no such file or directory",
    }
    assert no_samples
    assert left_in(out) == {"0.flac", "9.flac", 'it\'s a "good" one $(id).flac'}


@needs_ffmpeg
def test_what_a_killed_run_left_is_overwritten(tmp_path):
    source = encode(tmp_path / "a.m4a", noise(0.2), 16000)
    out = tmp_path / "out"
    out.mkdir()
    (out / ".a.flac.partial").write_text("half a file")
    assert outcomes([Task(source, out / "a.flac")]) == {"a.m4a": ""}
    assert left_in(out) == {"a.flac"} and soundfile.info(out / "a.flac").frames


@needs_ffmpeg
def test_a_full_disk_is_no_fault_of_the_files(tmp_path, disk_of):
    source, disk = encode(tmp_path / "a.m4a", noise(4), 16000), disk_of("64k")
    with pytest.raises(OSError, match="No space left on device"):
        outcomes([Task(source, disk / "a.wav"), Task(source, disk / "b.wav")])
    assert not left_in(disk)


def fake_ffmpeg(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    (folder / "ffmpeg").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_an_ffmpeg_that_says_nothing_but_fails_rejects_the_file(tmp_path, monkeypatch):
    fake_ffmpeg(tmp_path / "bin", "exit 3", monkeypatch)
    (tmp_path / "a.m4a").write_text("x")
    found = outcomes([Task(tmp_path / "a.m4a", tmp_path / "a.flac")])
    assert found == {"a.m4a": "no audio that can be read: ffmpeg ended with status 3"}


def test_without_ffmpeg_nothing_is_rejected(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="ffmpeg is not installed"):
        outcomes([Task(tmp_path / "a.m4a", tmp_path / "a.flac")])


def test_encoded_files_are_found_in_order_through_links_but_not_in_circles(tmp_path):
    names = ("b/2.mp4", "b/1.M4A", "a/x.opus", "a/y.wav", "a/._x.m4a", ".hidden/z.m4a", "a.aac", "a/deep/er/q.webm")
    source = tmp_path / "source"
    for name in names:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/e.m4a").touch()
    (source / "link").symlink_to(tmp_path / "elsewhere")
    found = [f"{folder}/{name}" for folder, files in encoded_files(source) for name in files]
    assert found == ["/a.aac", "a/x.opus", "a/deep/er/q.webm", "b/1.M4A", "b/2.mp4", "link/e.m4a"]
    (source / "a/deep/up").symlink_to(source / "a")
    with pytest.raises(InputError, match=r"a/deep/up: is a link to a folder around it"):
        list(encoded_files(source))


def test_names_that_cannot_be_told_apart_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"1\.m4a and .*1\.mp4: would be decoded into one file"):
        check_names(tmp_path, ["1.m4a", "1.mp4"])
    with pytest.raises(InputError, match="line break"):
        check_names(tmp_path, ["1\n.m4a"])
