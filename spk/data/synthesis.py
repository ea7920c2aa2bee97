"""Synthetic speakers: voices drawn at random, spoken by espeak-ng, through a channel drawn for every session."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq
from scipy.interpolate import CubicSpline
from scipy.signal import firwin, resample_poly

from spk.data import espeak
from spk.data.sentences import draw_sentence

SAMPLE_RATE = 16000  # Hz
SHORTEST, LONGEST = 2.0, 5.0  # seconds an utterance, with the quiet around it
QUIET = (0.05, 0.25)  # seconds before and after the speech

# What makes a speaker. Spreads are relative: 0.05 = 5 %.
PITCH_HZ, PITCH_SPREAD = {"m": 105, "f": 180}, 0.10
FORMANT_SCALE, FORMANT_SCALE_SPREAD = {"m": 0.98, "f": 1.08}, 0.035  # 1 = espeak-ng's own vocal tract
FORMANT_SPREAD = 0.015  # of each formant around that scale
STRENGTH_SPREAD = 0.05  # of each formant's height and width
WORDS_PER_MINUTE = (135, 200)
ACCENTS = ("en-US", "en", "en-GB-scotland", "en-GB-x-gbclan", "en-GB-x-gbcwmd", "en-GB-x-rp", "en-029", "en-US-nyc")

# What sets the sessions of one speaker apart. Chosen so that means and deviations of log-mel energies over time tell
# channels rather than voices, while a network can still learn to hear the voice.
MOOD_STEPS = 4.0  # up or down on espeak-ng's pitch scale, which has 50 steps an octave
RATE_CHANGE = 0.08  # up or down, relative
COLOUR_DB = 1.5  # standard deviation of the channel's gain at KNOTS_HZ; a smooth curve in between
HIGH_PASS_HZ = (50.0, 150.0)
LOW_PASS_HZ = (6000.0, 7800.0)
NOISE_EXPONENT = (0.0, 2.0)  # the noise's power falls as 1/f^exponent: white to brown
SNR_DB = (20.0, 40.0)
PEAK_DB = (-15.0, -3.0)  # the loudest sample of an utterance, re full scale

KNOTS_HZ = np.array([0, 150, 300, 500, 800, 1200, 1800, 2600, 3700, 5200, 8000], dtype=float)
NUM_TAPS = 512  # of the channel's filter
SILENCE_DB = -45.0  # re the peak: quieter than this is no speech

# espeak-ng's rate to ours, by 320 / 441; scipy would design this filter anew for every utterance.
UP, DOWN = 320, 441
ANTI_ALIASING = firwin(20 * DOWN + 1, 1 / DOWN, window=("kaiser", 5.0))


@dataclass(frozen=True)
class Voice:
    """One synthetic speaker; `variant` holds the lines of espeak-ng's file for it."""

    gender: str
    accent: str
    words_per_minute: int
    pitch_hz: int
    formant_scale: float
    variant: str


@dataclass(frozen=True)
class Session:
    """One sitting: how the speaker speaks that day, and through what the recording goes."""

    pitch: int
    words_per_minute: int
    gain: NDArray[np.float64]  # [NUM_TAPS // 2 + 1], of the channel at 0 to SAMPLE_RATE / 2
    noise_exponent: float
    snr_db: float
    peak_db: float


@dataclass(frozen=True)
class Utterance:
    """What was said in which session (both count from 1), and how it sounds: int16 [samples] at SAMPLE_RATE."""

    session: int
    number: int
    text: str
    sound: NDArray[np.int16]


def speak(seed: int, speaker: int, num_sessions: int, num_utterances: int) -> tuple[Voice, Iterator[Utterance]]:
    """Draw speaker number `speaker`, and say and record its utterances, spread over the sessions.

    Everything is a function of the arguments: speakers can be made in any order and any process.
    """
    voice = draw_voice(np.random.default_rng([seed, speaker]), "mf"[speaker % 2])
    return voice, _utterances(voice, seed, speaker, num_sessions, num_utterances)


def _utterances(voice: Voice, seed: int, speaker: int, num_sessions: int, num_utterances: int) -> Iterator[Utterance]:
    per_session = -(-num_utterances // num_sessions)
    with espeak.Espeak({"voice": voice.variant}, seed=speaker) as engine:
        for index in range(num_utterances):
            session_index = index // per_session
            session = draw_session(np.random.default_rng([seed, speaker, session_index]), voice)
            rng = np.random.default_rng([seed, speaker, session_index, index])
            while True:
                text = draw_sentence(rng)
                speech = engine.speak(text, f"gmw/{voice.accent}", "voice", session.words_per_minute, session.pitch)
                speech = with_quiet(rng, trim_silence(speech.astype(np.float64)))
                if SHORTEST <= len(speech) / espeak.SAMPLE_RATE <= LONGEST:
                    break
            yield Utterance(session_index + 1, index + 1, text, record(rng, speech, session))


def draw_voice(rng: np.random.Generator, gender: str) -> Voice:
    """Draw a speaker of `gender` m or f: pitch and its range, vocal tract, roughness, breath, accent, rate."""
    pitch_hz = round(PITCH_HZ[gender] * np.exp(rng.normal(0, PITCH_SPREAD)))
    formant_scale = FORMANT_SCALE[gender] * np.exp(rng.normal(0, FORMANT_SCALE_SPREAD))
    lines = [f"pitch {pitch_hz} {round(pitch_hz * rng.uniform(1.25, 1.75))}"]
    for formant in range(9):
        frequency, height, width = 100 * np.exp(rng.normal(0, [FORMANT_SPREAD, STRENGTH_SPREAD, STRENGTH_SPREAD]))
        lines.append(f"formant {formant} {formant_scale * frequency:.0f} {height:.0f} {width:.0f}")
    lines.append(f"roughness {rng.integers(4)}")
    lines.append(f"flutter {rng.integers(9)}")
    lines.append(f"voicing {rng.integers(85, 116)}")
    lines.append(f"consonants {rng.integers(80, 116)} {rng.integers(80, 116)}")
    strongest_breath = rng.integers(9) * rng.integers(2)
    lines.append(f"breath {' '.join(map(str, rng.integers(strongest_breath + 1, size=8)))}")
    return Voice(
        gender=gender,
        accent=ACCENTS[rng.integers(len(ACCENTS))],
        words_per_minute=int(rng.integers(*WORDS_PER_MINUTE)),
        pitch_hz=pitch_hz,
        formant_scale=formant_scale,
        variant="\n".join(lines) + "\n",
    )


def draw_session(rng: np.random.Generator, voice: Voice) -> Session:
    """Draw how `voice` speaks in a session, and the session's channel."""
    frequencies = np.linspace(0, SAMPLE_RATE / 2, NUM_TAPS // 2 + 1)
    gain_db = CubicSpline(KNOTS_HZ, rng.normal(0, COLOUR_DB, len(KNOTS_HZ)))(frequencies)
    high_pass, low_pass = rng.uniform(*HIGH_PASS_HZ), rng.uniform(*LOW_PASS_HZ)
    # Butterworth slopes: 12 dB an octave below the one corner, 48 above the other.
    gain_db -= 10 * np.log10(1 + (high_pass / np.maximum(frequencies, 1)) ** 4)
    gain_db -= 10 * np.log10(1 + (frequencies / low_pass) ** 16)
    return Session(
        pitch=round(50 + rng.uniform(-MOOD_STEPS, MOOD_STEPS)),
        words_per_minute=round(voice.words_per_minute * (1 + rng.uniform(-RATE_CHANGE, RATE_CHANGE))),
        gain=10 ** (gain_db / 20),
        noise_exponent=rng.uniform(*NOISE_EXPONENT),
        snr_db=rng.uniform(*SNR_DB),
        peak_db=rng.uniform(*PEAK_DB),
    )


def record(rng: np.random.Generator, speech: NDArray[np.float64], session: Session) -> NDArray[np.int16]:
    """Speech [samples] at espeak-ng's rate as the session records it: int16 [samples] at SAMPLE_RATE.

    Noise is added at the session's SNR (over the whole utterance), both go through the channel's filter, and the
    loudest sample gets the session's level.
    """
    speech = resample_poly(speech, UP, DOWN, window=ANTI_ALIASING)
    noise = coloured_noise(rng, len(speech), session.noise_exponent)
    noise *= np.sqrt(np.mean(speech**2) / np.mean(noise**2)) * 10 ** (-session.snr_db / 20)
    sound = apply_gain(speech + noise, session.gain)
    sound *= 10 ** (session.peak_db / 20) / np.abs(sound).max()
    return np.round(sound * 32767).astype(np.int16)


def trim_silence(speech: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut what comes before the first and after the last sample that is louder than SILENCE_DB."""
    loud = np.flatnonzero(np.abs(speech) > np.abs(speech).max() * 10 ** (SILENCE_DB / 20))
    return speech[loud[0] : loud[-1] + 1]


def with_quiet(rng: np.random.Generator, speech: NDArray[np.float64]) -> NDArray[np.float64]:
    """Speech at espeak-ng's rate with zeros before and after, each of a length drawn from QUIET."""
    return np.pad(speech, (rng.uniform(*QUIET, size=2) * espeak.SAMPLE_RATE).astype(int))


def coloured_noise(rng: np.random.Generator, num_samples: int, exponent: float) -> NDArray[np.float64]:
    """Gaussian noise [num_samples] whose power falls as 1/f^exponent above 50 Hz and is flat below."""
    length = next_fast_len(num_samples, real=True)
    frequencies = rfftfreq(length, 1 / SAMPLE_RATE)
    spectrum = rfft(rng.standard_normal(length)) * np.maximum(frequencies, 50) ** (-exponent / 2)
    return irfft(spectrum, length)[:num_samples]


def apply_gain(sound: NDArray[np.float64], gain: NDArray[np.float64]) -> NDArray[np.float64]:
    """Filter `sound` [samples] by the real gain [NUM_TAPS // 2 + 1] over frequency, without delay."""
    impulse_response = np.fft.fftshift(irfft(gain)) * np.hanning(NUM_TAPS)
    length = next_fast_len(len(sound) + NUM_TAPS, real=True)
    filtered = irfft(rfft(sound, length) * rfft(impulse_response, length), length)
    return filtered[NUM_TAPS // 2 :][: len(sound)]
