"""What people bring as recordings: each is read, or refused in one line that says why."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import soundfile
from small_verifier import noise, write_wave

from spk.errors import InputError
from spk.verification.recordings import open_recording


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3"])
def test_the_forms_that_people_have_are_read(ending, tmp_path):
    recording = open_recording(write_wave(tmp_path / f"x.{ending}", noise(2)), 16000)
    (wave,) = recording.waves()
    assert recording.seconds == pytest.approx(2, abs=0.1) and len(wave) == pytest.approx(32000, abs=1600)


def test_channels_are_averaged_and_a_higher_rate_comes_down(tmp_path):
    stereo = np.stack([noise(1, rate=48000), np.zeros(48000, np.float32)], axis=1)
    (part,) = open_recording(write_wave(tmp_path / "x.wav", stereo, 48000), 16000).waves()
    (mono,) = open_recording(write_wave(tmp_path / "y.wav", stereo[:, 0] / 2, 48000), 16000).waves()
    assert len(part) == 16000
    np.testing.assert_allclose(part, mono, atol=1e-6)


def test_a_long_one_comes_in_equal_parts_without_the_silent_ones(tmp_path, caplog):
    samples = np.concatenate([noise(2, 1), np.zeros(32000, np.float32), noise(2, 2)])
    caplog.set_level("INFO")
    recording = open_recording(write_wave(tmp_path / "x.wav", samples), 16000, longest_part=2.9)
    waves = list(recording.waves())
    assert [len(wave) for wave in waves] == [32000, 32000]
    np.testing.assert_array_equal(np.concatenate(waves), np.delete(samples, np.s_[32000:64000]))
    assert "3 parts; 1 of them are silent and left out" in caplog.text


def test_memory_is_that_of_a_part_however_long_the_recording_is(tmp_path):
    part = 4 * 10 * 16000  # bytes of 10 s
    ten_seconds, peaks = noise(10), []
    for name, seconds in (("short.flac", 20), ("long.flac", 600)):
        with soundfile.SoundFile(tmp_path / name, "w", 16000, 1) as file:
            for _ in range(seconds // 10):
                file.write(ten_seconds)
        recording = open_recording(tmp_path / name, 16000, longest_part=10)
        tracemalloc.start()
        for wave in recording.waves():
            assert wave.nbytes == part
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + part


def test_one_that_is_hardly_speech_is_read_with_a_warning(tmp_path, caplog):
    list(open_recording(write_wave(tmp_path / "x.wav", noise(0.2)), 16000).waves())
    assert "has 0.20 s only" in caplog.text


@pytest.mark.parametrize(
    "samples, rate, message",
    [
        (np.zeros(32000), 16000, "all of its 2.00 s are silent"),
        (np.full(32000, 0.3), 16000, "silent"),
        (noise(1, rate=8000), 8000, "sampled at 8000 Hz, and this system needs 16000 Hz or more"),
        (noise(0.01), 16000, "too short: 160 samples at 16000 Hz, at least 257 are needed"),
    ],
    ids=["zeros", "a constant", "8 kHz", "10 ms"],
)
def test_what_cannot_be_used_is_said(samples, rate, message, tmp_path):
    with pytest.raises(InputError, match=f"x.wav: .*{message}"):
        list(open_recording(write_wave(tmp_path / "x.wav", samples, rate), 16000, min_samples=257).waves())


def test_a_long_one_that_is_all_silent_or_cut_off_is_said(tmp_path):
    write_wave(tmp_path / "x.wav", np.zeros(64000))
    with pytest.raises(InputError, match=r"all of its 4\.00 s are silent"):
        list(open_recording(tmp_path / "x.wav", 16000, longest_part=1).waves())
    content = write_wave(tmp_path / "y.wav", noise(4)).read_bytes()
    (tmp_path / "y.wav").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="truncated"):
        list(open_recording(tmp_path / "y.wav", 16000, longest_part=1).waves())


def test_directories_and_files_that_are_no_audio_are_said(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("hello\r\n")
    for name, message in (
        ("", "is a directory"),
        ("empty.wav", "empty file"),
        ("text.wav", "no audio"),
        ("no", "no such"),
    ):
        with pytest.raises(InputError, match=message):
            list(open_recording(tmp_path / name, 16000).waves())
