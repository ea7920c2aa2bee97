"""Reading audio: what is brought into shape, and what is refused with which reason."""

from __future__ import annotations

import io
import os
import wave as wave_module
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import torchaudio

from spk.data.audio import AudioError, read_audio, resample

RATE = 16000


def tone(rate: int, frequency: float = 440.0, seconds: float = 0.5) -> np.ndarray:
    return 0.4 * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)


def write(path: Path, samples: np.ndarray, rate: int = RATE, **options: str) -> Path:
    soundfile.write(path, samples, rate, **options)
    return path


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_16_bit_samples_are_read_exactly(tmp_path, suffix):
    expected = np.array([-32768, -1, 0, 1, 32767] * 100, np.int16)
    audio = read_audio(str(write(tmp_path / f"a.{suffix}", expected)), RATE)
    assert audio.samples.dtype == np.float32
    np.testing.assert_array_equal(audio.samples * 32768, expected)
    assert (audio.file_rate, audio.file_channels) == (RATE, 1)


def test_channels_are_averaged(tmp_path):
    left, right = np.full(100, 0.5), np.full(100, -0.25)
    audio = read_audio(str(write(tmp_path / "a.wav", np.stack([left, right], axis=1), subtype="FLOAT")), RATE)
    np.testing.assert_array_equal(audio.samples, np.full(100, 0.125, np.float32))
    assert audio.file_channels == 2


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
def test_a_higher_rate_is_brought_down_and_keeps_the_tone(tmp_path, rate):
    audio = read_audio(str(write(tmp_path / "a.wav", tone(rate), rate)), RATE)
    assert audio.file_rate == rate and abs(len(audio.samples) - RATE // 2) <= 1
    inner = slice(200, 7800)
    np.testing.assert_allclose(audio.samples[inner], tone(RATE)[: len(audio.samples)][inner], atol=4e-3)


@pytest.mark.parametrize("rates", [(44100, 16000), (48000, 16000), (22050, 8000), (9, 10), (11, 10), (37, 50)])
def test_a_kernel_that_is_kept_gives_the_bytes_of_one_that_is_made_for_the_call(rates):
    for length in (1, 777, 16001):
        samples = np.random.default_rng(length).standard_normal(length, dtype=np.float32)
        expected = torchaudio.functional.resample(torch.from_numpy(samples), *rates).numpy()
        for _ in range(2):
            np.testing.assert_array_equal(resample("a", samples, *rates), expected, strict=True)


def test_what_the_lower_rate_cannot_hold_is_filtered_out(tmp_path):
    samples = read_audio(str(write(tmp_path / "a.wav", tone(48000, 12000.0), 48000)), RATE).samples
    assert np.abs(samples[200:-200]).max() < 4e-3


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_part_is_read_by_seconds(tmp_path, suffix):
    samples = np.arange(16000, dtype=np.int16)
    path = str(write(tmp_path / f"a.{suffix}", samples))
    np.testing.assert_array_equal(read_audio(path, RATE, part=(0.25, 0.5)).samples * 32768, samples[4000:8000])
    np.testing.assert_array_equal(read_audio(path, RATE, part=(0.9, -1)).samples * 32768, samples[14400:])
    np.testing.assert_array_equal(read_audio(path, RATE, part=(0.9, 1.4)).samples * 32768, samples[14400:])
    for part in ((0.5, 0.5), (0.6, 0.5), (0.5, 1.6), (2.0, -1), (-0.1, 0.5)):
        with pytest.raises(AudioError, match=r"lasts 1\.00 s; there is no part"):
            read_audio(path, RATE, part=part)


def bad_file(tmp_path: Path, what: str) -> Path:
    path = tmp_path / "bad.wav"
    good = io.BytesIO()
    soundfile.write(good, tone(RATE), RATE, format="FLAC" if what == "truncated flac" else "WAV")
    if what == "text":
        path.write_text("these are words\n" * 50)
    elif what == "empty":
        path.write_bytes(b"")
    elif what == "no samples":
        write(path, np.zeros(0))
    elif what.startswith("truncated"):
        path.write_bytes(good.getvalue()[: len(good.getvalue()) // 2])
    elif what == "short":
        write(path, tone(RATE)[:100])
    elif what == "nan":
        write(path, np.where(np.arange(8000) < 3, np.nan, tone(RATE)), subtype="FLOAT")
    elif what == "infinite":
        write(path, np.where(np.arange(8000) == 5, np.inf, tone(RATE)), subtype="DOUBLE")
    elif what == "lower rate":
        write(path, tone(8000), 8000)
    elif what == "odd rate":
        write(path, tone(16001), 16001)
    elif what == "folder":
        path.mkdir()
    elif what == "header only":
        path.write_bytes(good.getvalue()[:20])
    return path


@pytest.mark.parametrize(
    "what, reason",
    [
        ("text", "no audio that can be read: Format not recognised"),
        ("empty", "empty file"),
        ("no samples", "holds no samples"),
        ("truncated flac", "no audio that can be read: flac decoder lost sync"),
        ("truncated wav", r"truncated: the header announces 16000 bytes, 7978 are there"),
        ("short", "too short: 100 samples at 16000 Hz, at least 400 are needed"),
        ("nan", "3 values are not finite"),
        ("infinite", "1 values are not finite"),
        ("lower rate", "sampled at 8000 Hz; the features need 16000 Hz or more"),
        ("odd rate", "sampled at 16001 Hz, which cannot be resampled to 16000 Hz here"),
        ("missing", "no such file or directory"),
        ("folder", "is a directory"),
        ("header only", "no audio that can be read"),
    ],
)
def test_a_bad_file_is_refused_with_its_reason(tmp_path, what, reason):
    path = bad_file(tmp_path, what)
    with pytest.raises(AudioError, match=reason) as error:
        read_audio(str(path), RATE, min_samples=400)
    assert str(error.value) == f"{path}: {error.value.reason}" and "\n" not in str(error.value)


def test_a_wav_from_a_stream_that_could_not_know_its_length_is_whole(tmp_path):
    path = write(tmp_path / "a.wav", tone(RATE))
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    for size in (0xFFFFFFFF, 0x7FFFF024):
        content[at : at + 4] = size.to_bytes(4, "little")
        path.write_bytes(content)
        assert len(read_audio(str(path), RATE).samples) == 8000


def test_a_pipe_runs_only_when_allowed(tmp_path):
    path = write(tmp_path / "a.wav", tone(RATE))
    marker = tmp_path / "ran"
    entry = f"touch {marker}; cat {path} |"
    with pytest.raises(AudioError, match="--allow-pipes"):
        read_audio(entry, RATE)
    assert not marker.exists()
    audio = read_audio(entry, RATE, allow_pipes=True)
    np.testing.assert_array_equal(audio.samples, read_audio(str(path), RATE).samples)
    assert marker.exists()


@pytest.mark.parametrize(
    "entry, reason",
    [
        ("echo lost >&2; exit 3 |", "status 3: lost"),
        ("true |", "the command gave no output"),
        ("echo words |", "no audio that can be read"),
    ],
)
def test_a_failing_pipe_is_refused_with_its_reason(entry, reason):
    with pytest.raises(AudioError, match=reason):
        read_audio(entry, RATE, allow_pipes=True)


def test_file_names_are_never_given_to_a_shell(tmp_path):
    name = tmp_path / "$(touch pwned); 'a b'.wav"
    write(name, tone(RATE))
    assert len(read_audio(str(name), RATE, allow_pipes=True).samples) == 8000
    assert not Path("pwned").exists()


def test_a_name_that_is_no_utf8_can_be_read(tmp_path):
    path = str(tmp_path).encode() + b"/caf\xe9.wav"
    with Path(os.fsdecode(path)).open("wb") as raw, wave_module.open(raw, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(bytes(2000))
    assert len(read_audio(path.decode("utf-8", "surrogateescape"), RATE).samples) == 1000
