"""What augmentation does to one utterance: its speed, the room it is heard in, the noises that are added to it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import soundfile

from spk.data.audio import AudioError, bounds, read_stretch, resample, why_unreadable
from spk.errors import InputError

LARGEST_DENOMINATOR = 100  # of a speed, which is resampling by a ratio of whole numbers
encode_json = json.JSONEncoder(separators=(",", ":")).encode
CACHED_ROOMS = 256  # of a second at 16 kHz each: 16 MB


@dataclass(frozen=True)
class Addition:
    """A stretch of another recording that is added to an utterance.

    `begin`: seconds into the file `path`. `at`: seconds into the utterance. `seconds`: how long; None is to the
    utterance's end. Where the file ends before, it is repeated from `begin`. `snr` in dB, of the whole utterance's mean
    power to that of the stretch.
    """

    path: str
    begin: float
    snr: float
    at: float = 0.0
    seconds: float | None = None

    def __post_init__(self) -> None:
        if not self.path:
            raise InputError("an addition without the path of its noise")
        check_number("begin", self.begin, least=0)
        check_number("snr", self.snr)
        check_number("at", self.at, least=0)
        if self.seconds is not None:
            check_number("seconds", self.seconds, above=0)


@dataclass(frozen=True)
class Augmentation:
    """First the speed (0.9 is slower and lower), then the room whose impulse response is the file `rir`, then noise."""

    speed: float = 1.0
    rir: str | None = None
    additions: tuple[Addition, ...] = ()

    def __post_init__(self) -> None:
        check_number("speed", self.speed, above=0)

    def to_json(self) -> str:
        """One line; what has its default is left out."""
        said = without_defaults(self)
        if self.additions:
            said["additions"] = [without_defaults(addition) for addition in self.additions]
        return encode_json(said)

    @classmethod
    def from_json(cls, line: str) -> Augmentation:
        """InputError says what is wrong with a line that `to_json` would not write."""
        try:
            said = json.loads(line)
        except ValueError as error:
            raise InputError(f"{shortened(line)} is not JSON: {error}") from None
        check_keys(cls, said)
        additions = said.get("additions", [])
        if not isinstance(additions, list):
            raise InputError(f"additions: {additions!r} is not a list")
        for addition in additions:
            check_keys(Addition, addition)
            check_text("path", addition["path"])
        if "rir" in said:
            check_text("rir", said["rir"])
        return cls(**{**said, "additions": tuple(Addition(**addition) for addition in additions)})


def augment(samples: np.ndarray, sample_rate: int, augmentation: Augmentation) -> np.ndarray:
    """float32 [S] in ±1 at `sample_rate` -> float32 [S'], S' = S unless the speed changes.

    The room keeps the direct path (the largest sample of its response) where it was, and the length and the mean power
    of the speech. Each addition is scaled by itself so that
        10 log10(mean power of the whole speech, in its room / mean power of the stretch that is added) = snr.
    Silence stays silence: nothing is added to it, and a silent stretch adds nothing. Nothing is clipped: the result may
    go beyond ±1. The same input gives the same bytes. Raises AudioError, which names a noise's or a response's file.
    """
    speech = change_speed(samples, augmentation.speed)
    if augmentation.rir is not None:
        speech = reverberate(speech, read_response(augmentation.rir, sample_rate))
    if not augmentation.additions:
        return speech
    speech_power = mean_power(speech)
    noisy = speech.copy()
    for addition in augmentation.additions:
        start = round(addition.at * sample_rate)
        num_samples = len(speech) - start
        if addition.seconds is not None:
            num_samples = min(num_samples, round(addition.seconds * sample_rate))
        if num_samples <= 0:  # the utterance ends before
            continue
        noise = read_noise(addition.path, addition.begin, num_samples, sample_rate)
        noise_power = mean_power(noise)
        if noise_power > 0:
            gain = math.sqrt(speech_power / noise_power) * 10 ** (-addition.snr / 20)
            noisy[start : start + num_samples] += np.float32(gain) * noise
    return noisy


def change_speed(samples: np.ndarray, speed: float) -> np.ndarray:
    """float32 [S] -> [ceil(S / speed)]: tempo and pitch change together, as when a tape runs faster."""
    ratio = speed_ratio(speed)
    return resample("speed", samples, ratio.numerator, ratio.denominator)


def speed_ratio(speed: float) -> Fraction:
    """The ratio of whole numbers by which a speed is done."""
    return Fraction(speed).limit_denominator(LARGEST_DENOMINATOR)


def reverberate(speech: np.ndarray, response: np.ndarray) -> np.ndarray:
    """float32 [S], [R] -> [S], with the direct path where it was and the mean power as before."""
    from scipy.signal import oaconvolve

    direct = int(np.argmax(np.abs(response)))
    reverberant = oaconvolve(speech, response)[direct : direct + len(speech)]
    power = mean_power(reverberant)
    gain = math.sqrt(mean_power(speech) / power) if power > 0 else 0.0
    return np.float32(gain) * reverberant.astype(np.float32, copy=False)


def mean_power(samples: np.ndarray) -> float:
    """The mean of the squares, 0 of nothing."""
    return float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0


def read_noise(path: str, begin: float, num_samples: int, sample_rate: int) -> np.ndarray:
    """float32 [num_samples] from `begin` seconds on, repeated where the file ends before; only this part is decoded.

    Channels are averaged. AudioError when the file cannot be read or ends before `begin`.
    """
    with errors_name(path, "noise"), soundfile.SoundFile(os.fsencode(path)) as file:
        start = round(begin * file.samplerate)
        wanted = math.ceil(num_samples * file.samplerate / sample_rate)
        part = read_frames(path, file, start, min(start + wanted, file.frames))
        noise = resample(path, part.mean(axis=1), file.samplerate, sample_rate)
    return noise if len(noise) == num_samples else np.resize(noise, num_samples)


@functools.lru_cache(maxsize=CACHED_ROOMS)
def read_response(path: str, sample_rate: int) -> np.ndarray:
    """float32 [R]: the first channel of a room's impulse response. AudioError when there is none, or silence."""
    with errors_name(path, "room response"), soundfile.SoundFile(os.fsencode(path)) as file:
        first_channel = np.ascontiguousarray(read_frames(path, file, 0, file.frames)[:, 0])
        response = resample(path, first_channel, file.samplerate, sample_rate)
        if not response.any():
            raise AudioError(path, "holds silence only")
    response.flags.writeable = False  # one array serves many utterances
    return response


def read_frames(path: str, file: soundfile.SoundFile, start: int, end: int) -> np.ndarray:
    """float32 [end - start, channels], all finite."""
    bounds(path, file, None)  # a truncated file has none
    if start >= file.frames:
        begin, duration = start / file.samplerate, file.frames / file.samplerate
        raise AudioError(path, f"lasts {duration:.2f} s; nothing begins at {begin:.2f} s")
    frames = read_stretch(path, file, start, end)
    if not np.isfinite(frames).all():
        raise AudioError(path, "holds values that are not finite")
    return frames


@contextlib.contextmanager
def errors_name(path: str, role: str) -> Iterator[None]:
    """Whatever keeps a file from being read becomes an AudioError with its path and what it is for."""
    try:
        yield
    except AudioError as error:
        raise AudioError(path, f"{role}: {error.reason}") from None
    except (soundfile.SoundFileError, RuntimeError, TypeError, OSError) as error:
        raise AudioError(path, f"{role}: {why_unreadable(os.fsencode(path), error)}") from None


# ---- what a line of the table may say


# {field: its default}, once: a million lines are written and read.
DEFAULTS = {
    kind: {field.name: field.default for field in dataclasses.fields(kind)} for kind in (Addition, Augmentation)
}
NEEDED = {
    kind: {name for name, default in defaults.items() if default is dataclasses.MISSING}
    for kind, defaults in DEFAULTS.items()
}


def without_defaults(item: Addition | Augmentation) -> dict[str, Any]:
    values = vars(item)
    return {name: values[name] for name, default in DEFAULTS[type(item)].items() if values[name] != default}


def check_keys(kind: type, said: Any) -> None:
    """InputError unless `said` is an object whose keys are fields of `kind`, with those that have no default."""
    if not isinstance(said, dict):
        raise InputError(f"{shortened(json.dumps(said))} is not an object with names and values")
    unknown, lacking = said.keys() - DEFAULTS[kind].keys(), NEEDED[kind] - said.keys()
    if unknown:
        raise InputError(f"{min(unknown)!r} is not known; there are {', '.join(DEFAULTS[kind])}")
    if lacking:
        raise InputError(f"{min(lacking)!r} is missing in {shortened(json.dumps(said))}")


def check_number(name: str, value: Any, *, least: float = -math.inf, above: float = -math.inf) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise InputError(f"{name}: {value!r} is not a number")
    if value < least or value <= above:
        raise InputError(f"{name}: {value!r} is not {f'above {above:g}' if value <= above else f'{least:g} or more'}")


def check_text(name: str, value: Any) -> None:
    if not isinstance(value, str) or not value:
        raise InputError(f"{name}: {value!r} is not the path of a file")


def shortened(text: str, most: int = 60) -> str:
    return repr(text if len(text) <= most else f"{text[:most]}...")
