"""What is done to an utterance, measured on the result: levels, places in time, lengths; and what is refused."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from spk.data.audio import AudioError
from spk.data.augmentation import Addition, Augmentation, augment, read_noise, read_response
from spk.errors import InputError

RATE = 16000


def write(path: Path, samples: np.ndarray, rate: int = RATE, subtype: str = "FLOAT") -> str:
    soundfile.write(path, samples, rate, subtype=subtype)
    return str(path)


def noise(seconds: float, level: float = 0.1, seed: int = 0, rate: int = RATE) -> np.ndarray:
    return (level * np.random.default_rng(seed).normal(size=round(seconds * rate))).astype(np.float32)


def tone(frequency: float, seconds: float = 1.0, rate: int = RATE, level: float = 0.3) -> np.ndarray:
    return (level * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def decibels(speech: np.ndarray, added: np.ndarray) -> float:
    """10 log10 of the ratio of mean powers."""
    return 10 * np.log10(np.mean(speech.astype(np.float64) ** 2) / np.mean(added.astype(np.float64) ** 2))


def strongest_frequency(samples: np.ndarray, rate: int = RATE) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1 << 18))
    return float(np.argmax(spectrum)) * rate / (1 << 18)


@pytest.fixture
def speech(corpora) -> np.ndarray:
    return soundfile.read(next(iter(sorted((corpora / "an4" / "wav").rglob("*.flac")))), dtype="float32")[0]


# ---- additions


@pytest.mark.parametrize("snr", [20, 13, 5, 0, -5])
def test_the_difference_to_the_clean_speech_has_the_planned_ratio(snr, tmp_path):
    clean = noise(2.0, level=0.05, seed=1)
    path = write(tmp_path / "n.wav", noise(5.0, level=0.4))
    noisy = augment(clean, RATE, Augmentation(additions=(Addition(path, 1.25, snr),)))
    assert noisy.dtype == np.float32 and noisy.shape == clean.shape
    assert decibels(clean, noisy - clean) == pytest.approx(snr, abs=0.01)


def test_each_addition_has_its_own_place_and_ratio_to_the_whole_speech(tmp_path):
    clean = np.concatenate([noise(2.0, level=0.02), noise(1.0, level=0.3, seed=1)])
    path = write(tmp_path / "n.wav", noise(5.0, seed=2))
    first, second = Addition(path, 0.5, 10, at=0.25, seconds=0.5), Addition(path, 2, 3, at=1.5, seconds=1)
    difference = augment(clean, RATE, Augmentation(additions=(first, second))) - clean
    silent = np.ones(len(clean), bool)
    for addition in (first, second):
        start = round(addition.at * RATE)
        stretch = slice(start, start + round(addition.seconds * RATE))
        assert decibels(clean, difference[stretch]) == pytest.approx(addition.snr, abs=0.01)
        silent[stretch] = False
    assert not difference[silent].any()


def test_additions_are_summed(tmp_path):
    clean = noise(1.0)
    additions = [Addition(write(tmp_path / f"{seed}.wav", noise(3, seed=seed)), 0, 15) for seed in (1, 2, 3)]
    alone = sum(augment(clean, RATE, Augmentation(additions=(addition,))) - clean for addition in additions)
    together = augment(clean, RATE, Augmentation(additions=tuple(additions))) - clean
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_a_file_that_ends_before_is_repeated_from_its_begin(tmp_path):
    ramp = np.arange(1, 1001, dtype=np.float32) / 1000
    path = write(tmp_path / "n.wav", ramp)
    expected = np.concatenate([ramp[400:], ramp[400:], ramp[400:700]])
    np.testing.assert_array_equal(read_noise(path, 0.025, 1500, RATE), expected)


@pytest.mark.parametrize("suffix, subtype", [("wav", "PCM_16"), ("flac", "PCM_16")])
def test_only_the_wanted_part_of_a_noise_is_read(suffix, subtype, tmp_path, monkeypatch):
    samples = np.arange(-16000, 16000, dtype=np.int16)
    path = write(tmp_path / f"n.{suffix}", samples, subtype=subtype)
    asked = []
    read = soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile, "read", lambda file, frames=-1, **how: asked.append(frames) or read(file, frames, **how)
    )
    np.testing.assert_array_equal(read_noise(path, 0.75, 1000, RATE) * 32768, samples[12000:13000])
    assert asked == [1000]


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_noise_of_another_rate_keeps_its_pitch_and_its_begin(rate, tmp_path):
    two_tones = np.concatenate([tone(500, 1.0, rate), tone(1500, 1.0, rate)])
    path = write(tmp_path / "n.wav", two_tones, rate)
    part = read_noise(path, 1.0, 8000, RATE)
    assert len(part) == 8000 and strongest_frequency(part) == pytest.approx(1500, abs=2)


def test_channels_of_a_noise_are_averaged(tmp_path):
    path = write(tmp_path / "n.wav", np.stack([np.full(100, 0.5), np.full(100, -0.25)], axis=1))
    np.testing.assert_array_equal(read_noise(path, 0, 100, RATE), np.full(100, 0.125, np.float32))


def test_nothing_is_added_after_the_end(tmp_path):
    clean = noise(1.0)
    path = write(tmp_path / "n.wav", noise(5.0, seed=1))
    late = Augmentation(additions=(Addition(path, 0, 0, at=1.0), Addition(path, 0, 0, at=7, seconds=1)))
    np.testing.assert_array_equal(augment(clean, RATE, late), clean)
    across = augment(clean, RATE, Augmentation(additions=(Addition(path, 0, 5, at=0.75, seconds=3),)))
    assert len(across) == len(clean) and decibels(clean, (across - clean)[12000:]) == pytest.approx(5, abs=0.01)


def test_silence_adds_nothing_and_stays_silence(tmp_path):
    clean, silence = noise(0.5), np.zeros(8000, np.float32)
    loud, mute = write(tmp_path / "n.wav", noise(1.0)), write(tmp_path / "s.wav", np.zeros(RATE))
    np.testing.assert_array_equal(augment(clean, RATE, Augmentation(additions=(Addition(mute, 0, 5),))), clean)
    np.testing.assert_array_equal(augment(silence, RATE, Augmentation(additions=(Addition(loud, 0, 5),))), silence)
    np.testing.assert_array_equal(augment(silence, RATE, Augmentation(rir=loud)), silence)


def test_nothing_is_clipped(tmp_path):
    clean = tone(440, level=0.9)
    path = write(tmp_path / "n.wav", noise(2.0, level=0.1))
    noisy = augment(clean, RATE, Augmentation(additions=(Addition(path, 0, 0),)))
    assert np.abs(noisy).max() > 1.5 and decibels(clean, noisy - clean) == pytest.approx(0, abs=0.01)


# ---- rooms


def test_a_response_that_is_one_late_impulse_changes_nothing(tmp_path):
    response = np.zeros(3000)
    response[700] = -0.2
    clean = noise(1.0)
    reverberant = augment(clean, RATE, Augmentation(rir=write(tmp_path / "r.wav", response)))
    np.testing.assert_allclose(reverberant, -clean, atol=1e-6)


def test_convolution_is_that_of_the_definition_from_the_direct_path_on(tmp_path):
    random = np.random.default_rng(0)
    clean, response = noise(0.05), random.normal(size=300) * np.exp(-np.arange(300) / 40)
    response[20] = 9.0
    expected = np.convolve(clean.astype(np.float64), response)[20 : 20 + len(clean)]
    expected *= np.sqrt(np.mean(clean.astype(np.float64) ** 2) / np.mean(expected**2))
    reverberant = augment(clean, RATE, Augmentation(rir=write(tmp_path / "r.wav", response, subtype="DOUBLE")))
    np.testing.assert_allclose(reverberant, expected, atol=1e-6)


def test_real_rooms_keep_length_level_and_alignment(corpora, speech):
    for path in sorted((corpora / "noise-rir" / "rir").glob("*.flac"))[::10]:
        reverberant = augment(speech, RATE, Augmentation(rir=str(path)))
        assert reverberant.shape == speech.shape and reverberant.dtype == np.float32
        assert decibels(speech, reverberant) == pytest.approx(0, abs=0.001)
        # A voice is like itself a period later, and reverberation adds to that: so the spectrum is made white.
        before, after = np.fft.rfft(speech, 1 << 16), np.fft.rfft(reverberant, 1 << 16)
        power = np.abs(before) ** 2
        correlation = np.fft.irfft(after * before.conj() / (power + 1e-4 * power.mean()))
        assert np.argmax(np.abs(correlation)) == 0, path
        assert np.abs(reverberant - speech).max() > 0.01


def test_a_response_of_several_channels_and_another_rate_is_its_first_channel_at_the_rate(tmp_path):
    other = np.random.default_rng(0).normal(size=4800)
    first = tone(1000, 0.1, 48000)
    path = write(tmp_path / "r.wav", np.stack([first, other], axis=1), 48000)
    response = read_response(path, RATE)
    assert len(response) == 1600 and strongest_frequency(response) == pytest.approx(1000, abs=5)


def test_noise_is_measured_against_the_speech_in_its_room(tmp_path, corpora, speech):
    rir = str(next(iter(sorted((corpora / "noise-rir" / "rir").glob("large*.flac")))))
    path = write(tmp_path / "n.wav", noise(30.0))
    reverberant = augment(speech, RATE, Augmentation(rir=rir))
    noisy = augment(speech, RATE, Augmentation(rir=rir, additions=(Addition(path, 0, 10),)))
    assert decibels(reverberant, noisy - reverberant) == pytest.approx(10, abs=0.01)


# ---- speed


@pytest.mark.parametrize("speed", [0.9, 1.1, 0.95, 1.5])
def test_speed_changes_length_and_pitch_together(speed):
    changed = augment(tone(1000), RATE, Augmentation(speed=speed))
    assert len(changed) == math.ceil(RATE / speed - 1e-9)
    assert strongest_frequency(changed) == pytest.approx(1000 * speed, abs=2)
    assert np.mean(changed**2) == pytest.approx(0.045, rel=0.02)


def test_the_order_is_speed_room_noise(tmp_path):
    rir = write(tmp_path / "r.wav", np.exp(-np.arange(800) / 100))
    addition = Addition(write(tmp_path / "n.wav", noise(5.0, seed=3)), 1, 7, at=0.4)
    clean = noise(1.0)
    step = augment(augment(clean, RATE, Augmentation(speed=0.9)), RATE, Augmentation(rir=rir))
    step = augment(step, RATE, Augmentation(additions=(addition,)))
    at_once = augment(clean, RATE, Augmentation(0.9, rir, (addition,)))
    np.testing.assert_array_equal(at_once, step)


def test_the_input_is_left_as_it_is(tmp_path):
    clean = noise(0.5)
    before = clean.copy()
    path = write(tmp_path / "n.wav", noise(1.0, seed=1))
    augment(clean, RATE, Augmentation(0.9, path, (Addition(path, 0, 0),)))
    augment(clean, RATE, Augmentation(additions=(Addition(path, 0, 0),)))
    np.testing.assert_array_equal(clean, before)


# ---- what is refused


@pytest.mark.parametrize("role", ["noise", "room response"])
def test_a_file_that_cannot_be_used_is_named_with_what_it_is_for(role, tmp_path):
    (tmp_path / "words.wav").write_text("these are words\n")
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "folder.wav").mkdir()
    write(tmp_path / "none.wav", np.zeros(0))
    write(tmp_path / "nan.wav", np.full(RATE, np.nan))
    write(tmp_path / "cut.wav", noise(2.0))
    (tmp_path / "cut.wav").write_bytes((tmp_path / "cut.wav").read_bytes()[:1000])
    reasons = {
        "absent": "no such file",
        "words": "no audio that can be read",
        "empty": "empty file",
        "folder": "is a directory",
        "none": "lasts 0.00 s",
        "nan": "not finite",
        "cut": "truncated",
    }
    for name, reason in reasons.items():
        path = str(tmp_path / f"{name}.wav")
        plan = Augmentation(additions=(Addition(path, 0, 10),)) if role == "noise" else Augmentation(rir=path)
        with pytest.raises(AudioError) as raised:
            augment(noise(0.5), RATE, plan)
        assert raised.value.entry == path
        assert raised.value.reason.startswith(f"{role}: ") and reason in raised.value.reason, name


def test_a_noise_that_ends_before_its_begin_and_a_silent_room_are_refused(tmp_path):
    path = write(tmp_path / "n.wav", noise(1.0))
    with pytest.raises(AudioError, match=r"n\.wav: noise: lasts 1\.00 s; nothing begins at 1\.00 s"):
        read_noise(path, 1.0, 100, RATE)
    with pytest.raises(AudioError, match="room response: holds silence only"):
        read_response(write(tmp_path / "s.wav", np.zeros(100)), RATE)


# ---- the line in a table

seconds = st.floats(0, 1e4, allow_nan=False)
additions = st.builds(
    Addition,
    st.text(min_size=1),
    seconds,
    st.floats(-100, 100),
    seconds,
    st.none() | st.floats(0.001, 1e4),
)
augmentations = st.builds(
    Augmentation, st.floats(0.1, 10), st.none() | st.text(min_size=1), st.lists(additions, max_size=3).map(tuple)
)


@given(augmentations)
def test_a_line_gives_back_what_was_written(augmentation):
    line = augmentation.to_json()
    assert "\n" not in line and Augmentation.from_json(line) == augmentation


def test_what_has_its_default_is_not_written_and_any_file_name_survives():
    assert Augmentation().to_json() == "{}"
    path = os.fsdecode(b"/noise/\xff.wav")
    line = Augmentation(additions=(Addition(path, 1.5, 10),)).to_json()
    assert line == '{"additions":[{"path":"/noise/\\udcff.wav","begin":1.5,"snr":10}]}'
    assert Augmentation.from_json(line).additions[0].path == path


@pytest.mark.parametrize(
    "line, message",
    [
        ("noise 10", "'noise 10' is not JSON"),
        ("[]", "is not an object"),
        ('{"sped": 0.9}', "'sped' is not known; there are speed, rir, additions"),
        ('{"speed": 0}', "speed: 0 is not above 0"),
        ('{"speed": NaN}', "speed: nan is not a number"),
        ('{"speed": "0.9"}', "speed: '0.9' is not a number"),
        ('{"speed": true}', "speed: True is not a number"),
        ('{"rir": 3}', "rir: 3 is not the path of a file"),
        ('{"additions": {}}', "additions: {} is not a list"),
        ('{"additions": ["n.wav"]}', "is not an object"),
        ('{"additions": [{"path": "n.wav", "snr": 3}]}', "'begin' is missing"),
        ('{"additions": [{"path": "", "begin": 0, "snr": 3}]}', "path: '' is not the path"),
        ('{"additions": [{"path": "n.wav", "begin": -1, "snr": 3}]}', "begin: -1 is not 0 or more"),
        ('{"additions": [{"path": "n.wav", "begin": 0, "snr": 3, "seconds": 0}]}', "seconds: 0 is not above 0"),
        ('{"additions": [{"path": "n.wav", "begin": 0, "snr": 1e999}]}', "snr: inf is not a number"),
    ],
)
def test_a_line_that_says_something_else_is_refused(line, message):
    with pytest.raises(InputError) as raised:
        Augmentation.from_json(line)
    assert message in str(raised.value)
