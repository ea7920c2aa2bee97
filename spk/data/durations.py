"""How long utterances are, by the headers of their recordings: nothing is decoded."""

from __future__ import annotations

import itertools
import math
import os
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import soundfile
from tqdm import tqdm

from spk.data.audio import AudioError, bounds, is_pipe, why_unreadable
from spk.data.augmentation import Augmentation, speed_ratio
from spk.data.features import Source

SAMPLE_RATE = 16000  # of the features, to which make_feats brings every recording before it counts its samples
HEADERS_AT_ONCE = 8  # a network disk answers several questions in the time of one
RECORDINGS_AT_ONCE = 10_000  # wait for a thread; each costs memory


def read_durations(sources: Mapping[str, Source]) -> tuple[dict[str, float], dict[str, str]]:
    """{utterance: seconds} of those that can be measured, as make_feats writes them, and {utterance: why not}.

    A recording is opened once for utterances that are neighbours. A truncated one, a part that it has not and a command
    are no lengths.
    """
    durations: dict[str, float] = {}
    reasons: dict[str, str] = {}
    recordings = (dict(group) for _, group in itertools.groupby(sources.items(), key=lambda item: item[1].entry))
    bar = tqdm(desc="headers", total=len(sources), disable=not sys.stderr.isatty())
    with bar, ThreadPoolExecutor(HEADERS_AT_ONCE) as pool:
        while block := list(itertools.islice(recordings, RECORDINGS_AT_ONCE)):
            for found in pool.map(measure, block):
                for utterance, said in found.items():
                    if isinstance(said, str):
                        reasons[utterance] = said
                    else:
                        durations[utterance] = said
                bar.update(len(found))
    return durations, reasons


def measure(utterances: Mapping[str, Source]) -> dict[str, float | str]:
    """Of each utterance of one recording the seconds, or why they are not known."""
    entry = next(iter(utterances.values())).entry
    if is_pipe(entry):
        return dict.fromkeys(utterances, "is a command, which has no header")
    try:
        with soundfile.SoundFile(os.fsencode(entry)) as file:
            return dict(measure_parts(file, utterances))
    except (soundfile.SoundFileError, RuntimeError, TypeError, OSError) as error:
        return dict.fromkeys(utterances, why_unreadable(os.fsencode(entry), error))


def measure_parts(file: soundfile.SoundFile, utterances: Mapping[str, Source]) -> Iterator[tuple[str, float | str]]:
    for utterance, source in utterances.items():
        try:
            start, end = bounds(source.entry, file, source.part)
            seconds = duration(end - start, file.samplerate, source)
            yield utterance, seconds or "holds no samples"
        except AudioError as error:
            yield utterance, error.reason


def duration(num_samples: int, file_rate: int, source: Source) -> float:
    """Seconds after resampling, at the speed of the source's augmentation, to the microsecond, as utt2dur has them."""
    seconds = math.ceil(num_samples * SAMPLE_RATE / file_rate) / SAMPLE_RATE
    if source.augmentation:
        return at_speed(seconds, Augmentation.from_json(source.augmentation).speed)
    return round(seconds, 6)


def at_speed(seconds: float, speed: float) -> float:
    """What is left of so many seconds at a speed, in whole samples."""
    return round(math.ceil(round(seconds * SAMPLE_RATE) / speed_ratio(speed)) / SAMPLE_RATE, 6)
