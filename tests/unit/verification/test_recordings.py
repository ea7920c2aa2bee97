"""What people bring as recordings: each is read, or refused in one line that says why."""

from __future__ import annotations

import numpy as np
import pytest
from small_verifier import noise, write_wave

from spk.errors import InputError
from spk.verification.recordings import read_recording


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3"])
def test_the_forms_that_people_have_are_read(ending, tmp_path):
    recording = read_recording(write_wave(tmp_path / f"x.{ending}", noise(2)), 16000)
    assert len(recording.parts) == 1 and recording.seconds == pytest.approx(2, abs=0.1)


def test_channels_are_averaged_and_a_higher_rate_comes_down(tmp_path):
    stereo = np.stack([noise(1, rate=48000), np.zeros(48000, np.float32)], axis=1)
    (part,) = read_recording(write_wave(tmp_path / "x.wav", stereo, 48000), 16000).parts
    (mono,) = read_recording(write_wave(tmp_path / "y.wav", stereo[:, 0] / 2, 48000), 16000).parts
    assert len(part) == 16000
    np.testing.assert_allclose(part, mono, atol=1e-6)


def test_a_long_one_comes_in_equal_parts_without_the_silent_ones(tmp_path, caplog):
    samples = np.concatenate([noise(2, 1), np.zeros(32000, np.float32), noise(2, 2)])
    caplog.set_level("INFO")
    recording = read_recording(write_wave(tmp_path / "x.wav", samples), 16000, longest_part=2.9)
    assert [len(part) for part in recording.parts] == [32000, 32000]
    np.testing.assert_array_equal(np.concatenate(recording.parts), np.delete(samples, np.s_[32000:64000]))
    assert "3 parts; 1 of them are silent and left out" in caplog.text


def test_one_that_is_hardly_speech_is_read_with_a_warning(tmp_path, caplog):
    read_recording(write_wave(tmp_path / "x.wav", noise(0.2)), 16000)
    assert "has 0.20 s only" in caplog.text


@pytest.mark.parametrize(
    "samples, rate, message",
    [
        (np.zeros(32000), 16000, "all of its 2.00 s are silent"),
        (np.full(32000, 0.3), 16000, "silent"),
        (noise(1, rate=8000), 8000, "sampled at 8000 Hz, and this system needs 16000 Hz or more"),
        (noise(0.01), 16000, "too short: 160 samples at 16000 Hz, at least 257 are needed"),
    ],
)
def test_what_cannot_be_used_is_said(samples, rate, message, tmp_path):
    with pytest.raises(InputError, match=f"x.wav: .*{message}"):
        read_recording(write_wave(tmp_path / "x.wav", samples, rate), 16000, min_samples=257)


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
            read_recording(tmp_path / name, 16000)
