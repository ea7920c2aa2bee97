"""espeak-ng by ctypes: deterministic, and voices that sound as their file says."""

from __future__ import annotations

import tempfile

import numpy as np
import pytest

from spk.data.espeak import LONGEST_DATA_PATH, SAMPLE_RATE, Espeak
from spk.errors import InputError

SENTENCE = "The quick brown fox jumps over the lazy dog."
NOISY = "pitch 100 140\nbreath 5 5 5 5 5 5 5 5\nflutter 5\nroughness 3\n"  # all that espeak-ng draws at random
VOICES = {
    "noisy": NOISY,
    "low": "pitch 90 110\nflutter 0\n",
    "high": "pitch 200 220\nflutter 0\n",
    **{
        name: "pitch 100 120\n" + "".join(f"formant {formant} {percent} 100 100\n" for formant in range(9))
        for name, percent in (("long_tract", 90), ("short_tract", 115))
    },
}


def say(*texts: str, voice: str = "noisy", seed: int = 1) -> list[bytes]:
    with Espeak(VOICES, seed) as engine:
        return [engine.speak(text, "gmw/en-US", voice, 170).tobytes() for text in texts]


def spectrum(voice: str) -> np.ndarray:
    """Power [bins] of 1 Hz each, of a sentence."""
    with Espeak(VOICES, 1) as engine:
        sound = engine.speak(SENTENCE, "gmw/en-US", voice, 170).astype(float)
    return np.abs(np.fft.rfft(sound, SAMPLE_RATE * (len(sound) // SAMPLE_RATE + 1))) ** 2


def test_the_same_sentences_are_the_same_bytes_whatever_was_said_before():
    first = say(SENTENCE, "Another one.")
    say("Something else.", voice="low", seed=7)
    assert say(SENTENCE, "Another one.") == first


def test_an_engine_inside_another_does_not_disturb_it():
    expected = say(SENTENCE, SENTENCE)
    with Espeak(VOICES, 1) as engine:
        first = engine.speak(SENTENCE, "gmw/en-US", "noisy", 170).tobytes()
        say("Something else.")
        second = engine.speak(SENTENCE, "gmw/en-US", "noisy", 170).tobytes()
    assert [first, second] == expected


def test_the_seed_decides_the_breath():
    assert say(SENTENCE, seed=1) != say(SENTENCE, seed=2)


def test_a_faster_rate_is_shorter():
    with Espeak(VOICES, 1) as engine:
        lengths = [len(engine.speak(SENTENCE, "gmw/en-US", "low", rate)) for rate in (120, 170, 220)]
    assert lengths[0] > lengths[1] > lengths[2] > 0


def test_the_voice_file_sets_the_pitch():
    def pitch_hz(voice: str) -> float:
        with Espeak(VOICES, 1) as engine:
            sound = engine.speak("Ah.", "gmw/en-US", voice, 80).astype(float)
        middle = sound[len(sound) // 4 : len(sound) // 2]
        correlation = np.correlate(middle, middle, "full")[len(middle) - 1 :]
        shortest = SAMPLE_RATE // 400
        return SAMPLE_RATE / (shortest + np.argmax(correlation[shortest : SAMPLE_RATE // 60]))

    assert 80 < pitch_hz("low") < 120
    assert 180 < pitch_hz("high") < 240


def test_a_larger_formant_scale_moves_energy_upwards():
    def centre_hz(voice: str) -> float:
        power = spectrum(voice)
        bins = np.arange(len(power)) * SAMPLE_RATE / 2 / (len(power) - 1)
        band = (bins > 200) & (bins < 4000)
        return (bins * power)[band].sum() / power[band].sum()

    assert centre_hz("short_tract") > 1.1 * centre_hz("long_tract")


def test_accents_differ():
    with Espeak(VOICES, 1) as engine:
        american = engine.speak("The path of the farmer.", "gmw/en-US", "low", 170)
        scottish = engine.speak("The path of the farmer.", "gmw/en-GB-scotland", "low", 170)
    assert american.tobytes() != scottish.tobytes()


def test_a_voice_or_an_accent_that_is_not_there_is_no_plain_voice_instead():
    with Espeak(VOICES, 1) as engine:
        with pytest.raises(KeyError, match="nobody"):
            engine.speak(SENTENCE, "gmw/en-US", "nobody", 170)
        with pytest.raises(RuntimeError, match="gmw/xx"):
            engine.speak(SENTENCE, "gmw/xx", "low", 170)


def test_nothing_is_left_in_the_folder_for_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    say(SENTENCE)
    assert list(tmp_path.iterdir()) == []


def test_a_path_too_long_for_espeak_is_named(tmp_path, monkeypatch):
    folder = tmp_path / ("x" * LONGEST_DATA_PATH)
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with pytest.raises(InputError, match="TMPDIR"):
        say(SENTENCE)
    assert list(folder.iterdir()) == []
