"""The training utterances of a data directory, and the speakers of it that are held out for validation.

They are the utterances that have features, or, when features are made online, those whose duration is known. Speakers
are held out by voice: somebody at another speed is another speaker to train on, and has the same voice.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spk.config import ValidationConfig
from spk.data.ark import FeatureReader
from spk.data.data_dir import count_and_name, read_table
from spk.data.original_speaker import original
from spk.errors import InputError

if TYPE_CHECKING:  # training on arks needs no library that reads audio
    import torch

    from spk.data.features import Source
    from spk.data.wave_crops import WaveReader
    from spk.feats.front_end import FrontEnd
    from spk.train.wave_features import WaveFeatureReader

NOISE_FILES = ("wav.scp", "utt2dur")  # of a directory of noises
# Of the copies that a data directory holds: whose voice they have, and which utterances are none.
COPY_TABLES = ("utt2uniq", "utt2augmentation")


@dataclass(frozen=True)
class Utterances:
    """Utterances of one use: their reader, frame counts [U], speakers [U] as 0..S-1, and the speakers' names [S]."""

    reader: FeatureReader | WaveReader | WaveFeatureReader
    num_frames: np.ndarray
    labels: np.ndarray
    speakers: list[str]


class UtteranceList(NamedTuple):
    """What training may use of a data directory, and whose it is."""

    utterances: list[str]
    speakers: np.ndarray  # names [U]
    voices: np.ndarray  # names [U]
    are_recorded: np.ndarray  # bool [U]: no copies at another speed, in noise or in a room
    lengths: dict[str, str]  # of utterances: utt2num_frames, or online utt2dur


@dataclass(frozen=True)
class Online:
    """How features are made while training: by which front end, where, and at which speeds training speech is read."""

    front_end: FrontEnd
    device: torch.device
    speeds: Sequence[float] = (1.0,)  # the first is 1


def read_training_data(
    data_dir: str | os.PathLike[str], validation: ValidationConfig, seed: int, online: Online | None = None
) -> tuple[Utterances, Utterances | None]:
    """(training, validation) utterances: disjoint in voices; validation is None when no speaker is held out.

    Which voices are held out, and which of their utterances, depends on the seed and the list of voices alone. Training
    has all copies of the others, validation nothing but recordings as they are. With `online` the training utterances'
    reader is a WaveReader, and that of validation works features out of waveforms; training utterances are there at
    each speed, at which their speakers are others.
    """
    data_dir = Path(data_dir)
    utterances, speakers, voices, are_recorded, lengths = read_utterances(data_dir, is_online=online is not None)
    if online is not None and len(online.speeds) > 1:
        check_own_speed(data_dir, speakers)
    sources = read_sources_of(data_dir, utterances) if online is not None else {}
    random = np.random.default_rng([seed, 1])
    is_held_out = np.isin(voices, draw_held_out(voices, validation, random))

    def select(chosen: np.ndarray, names: np.ndarray) -> Utterances:
        kept = [utterances[index] for index in chosen]
        kept_speakers, labels = np.unique(names[chosen], return_inverse=True)
        return Utterances(
            reader=FeatureReader(data_dir / "feats.scp", kept),
            num_frames=np.array([int(lengths[utterance]) for utterance in kept]),
            labels=labels.astype(np.int64),
            speakers=kept_speakers.tolist(),
        )

    def select_waves(chosen: np.ndarray, names: np.ndarray, speeds: Sequence[float]) -> Utterances:
        from spk.data.wave_crops import named_at

        reader = open_waves(data_dir, sources, [utterances[index] for index in chosen], lengths, online, speeds)
        kept_speakers, labels = np.unique(names[chosen], return_inverse=True)
        return Utterances(
            reader=reader,
            num_frames=reader.num_frames,
            labels=np.concatenate([labels + row * len(kept_speakers) for row in range(len(speeds))]).astype(np.int64),
            speakers=[named_at(speaker, speed) for speed in speeds for speaker in kept_speakers.tolist()],
        )

    in_training = np.flatnonzero(~is_held_out)
    training = select(in_training, speakers) if online is None else select_waves(in_training, speakers, online.speeds)
    if not validation.speakers:
        return training, None
    order = random.permutation(np.flatnonzero(is_held_out & are_recorded))
    by_voice = order[np.argsort(voices[order], kind="stable")]
    first = np.searchsorted(voices[by_voice], voices[by_voice])
    few = np.sort(by_voice[np.arange(len(by_voice)) - first < validation.utterances_per_speaker])
    counts = np.unique(voices[few], return_counts=True)[1]
    if len(counts) < 2 or counts.max() < 2:
        raise InputError(
            f"validation.speakers: the {validation.speakers} held-out speakers have too few utterances"
            f"{'' if are_recorded.all() else ' that are no augmented copies'} for a target and a non-target trial; "
            "hold out more speakers, or 0 for none"
        )
    if online is None:
        return training, select(few, voices)
    return training, with_features(select_waves(few, voices, [1.0]), online)


def with_features(waves: Utterances, online: Online) -> Utterances:
    """With a reader of their features."""
    from spk.train.wave_features import WaveFeatureReader

    return dataclasses.replace(waves, reader=WaveFeatureReader(waves.reader, online.front_end, online.device))


def open_wave_features(data_dir: Path, utterances: Sequence[str], online: Online) -> WaveFeatureReader:
    """The features of utterances of utt2dur, from their waveforms."""
    from spk.train.wave_features import WaveFeatureReader

    sources, lengths = read_sources_of(data_dir, utterances), read_table(data_dir / "utt2dur")
    waves = open_waves(data_dir, sources, utterances, lengths, online, [1.0])
    return WaveFeatureReader(waves, online.front_end, online.device)


def open_waves(
    data_dir: Path,
    sources: Mapping[str, Source],
    utterances: Sequence[str],
    lengths: Mapping[str, str],
    online: Online,
    speeds: Sequence[float],
) -> WaveReader:
    """InputError for a duration that is none, or too short for a frame at one of the speeds."""
    from spk.data.wave_crops import WaveReader

    table = data_dir / "utt2dur"
    try:
        durations = np.array([float(lengths[utterance]) for utterance in utterances])
    except ValueError as error:
        raise InputError(f"{table}: {error}; run steps/compute_durations {data_dir}") from None
    reader = WaveReader(sources, utterances, durations, online.front_end, speeds)
    if len(short := np.flatnonzero(reader.num_frames == 0)):
        named = count_and_name([reader.utterances[index] for index in short])
        raise InputError(
            f"{table}: utterances are too short for one frame, {named}; "
            "take them out of the data directory (utils/subset_data_dir.sh)"
        )
    return reader


def speakers_trained_on(
    data_dir: str | os.PathLike[str], validation: ValidationConfig, seed: int, *, is_online: bool = False
) -> set[str]:
    """The voices of the training utterances that `read_training_data` gives."""
    voices = read_utterances(Path(data_dir), is_online=is_online).voices
    return set(voices.tolist()) - set(draw_held_out(voices, validation, np.random.default_rng([seed, 1])).tolist())


def training_files(data_dir: Path, is_online: bool) -> list[str]:
    """The names of the tables of a data directory that training goes by."""
    names = ["wav.scp", "utt2spk", "utt2dur"] if is_online else ["feats.scp", "feats.yaml", "utt2spk", "utt2num_frames"]
    optional = ("segments", *COPY_TABLES) if is_online else COPY_TABLES
    return names + [name for name in optional if (data_dir / name).exists()]


def read_utterances(data_dir: Path, *, is_online: bool = False) -> UtteranceList:
    """The utterances with features, or online those of utt2dur."""
    table, lengths = ("utt2dur", "utt2dur") if is_online else ("feats.scp", "utt2num_frames")
    maker = "steps/compute_durations" if is_online else "steps/make_feats"
    for name in (table, "utt2spk", lengths):
        if not (data_dir / name).exists():
            raise InputError(f"{data_dir / name}: no such file; run {maker} {data_dir} first")
    utt2spk = read_table(data_dir / "utt2spk")
    utt2length = read_table(data_dir / lengths)
    utterances = list(read_table(data_dir / table))
    for utterance in utterances:
        if utterance not in utt2spk or utterance not in utt2length:
            others = "utt2spk" if is_online else "utt2spk or utt2num_frames"
            raise InputError(
                f"{data_dir}: utterance {utterance!r} of {table} is missing in {others}; "
                f"run utils/fix_data_dir.sh {data_dir}"
            )
    speakers = np.array([utt2spk[utterance] for utterance in utterances], dtype=str)
    voices, are_recorded = speakers, np.ones(len(utterances), dtype=bool)
    if (data_dir / "utt2uniq").exists():
        utt2uniq = read_table(data_dir / "utt2uniq")
        voices = voices_of(speakers)
        pairs = ((utterance, utt2uniq.get(utterance, utterance)) for utterance in utterances)
        is_recorded = [utterance == source or source not in utt2spk for utterance, source in pairs]
        are_recorded &= np.array(is_recorded, dtype=bool)
    if (data_dir / "utt2augmentation").exists():
        augmentations = read_table(data_dir / "utt2augmentation")
        are_recorded &= np.array([augmentations.get(utterance, "{}") == "{}" for utterance in utterances], dtype=bool)
    return UtteranceList(utterances, speakers, voices, are_recorded, utt2length)


def voices_of(speakers: np.ndarray) -> np.ndarray:
    """Names [U] of the voices of utterances by their speakers [U]: sp0.9-id0 is id0."""
    names, speaker = np.unique(speakers, return_inverse=True)
    return np.array([original(name) for name in names.tolist()], dtype=str)[speaker]


def check_own_speed(data_dir: Path, speakers: np.ndarray) -> None:
    """InputError where speech has other speeds already: at more of them, a voice would have two names at one speed."""
    faster = next((name for name in np.unique(speakers).tolist() if original(name) != name), None)
    if faster is None and (table := data_dir / "utt2augmentation").exists():
        faster = next((name for name, said in read_table(table).items() if '"speed"' in said), None)
    if faster is not None:
        raise InputError(
            f"augmentation.speeds: {data_dir} has speech at other speeds already ({faster!r}); leave speeds out, or "
            "train on the data directory without those copies"
        )


def read_sources_of(data_dir: Path, utterances: Sequence[str]) -> dict[str, Source]:
    """Where these utterances are; InputError for one that wav.scp or segments lacks, and for a command."""
    from spk.data.audio import is_pipe
    from spk.data.features import read_sources

    sources = read_sources(data_dir, allow_pipes=True)
    for utterance in utterances:
        if utterance not in sources:
            raise InputError(
                f"{data_dir}: utterance {utterance!r} of utt2dur is missing in wav.scp or segments; "
                f"run utils/fix_data_dir.sh {data_dir}"
            )
        if is_pipe(sources[utterance].entry):
            raise InputError(
                f"{data_dir / 'wav.scp'}: utterance {utterance!r} is the output of a command, and features.online "
                f"reads parts of files; decode it to a file first (steps/decode_audio): {sources[utterance].entry}"
            )
    return sources


def draw_held_out(voices: np.ndarray, validation: ValidationConfig, random: np.random.Generator) -> np.ndarray:
    """The voices to hold out, of those of the utterances: `voices` [U]."""
    speakers = np.unique(voices)
    if validation.speakers and validation.speakers > len(speakers) - 2:
        raise InputError(
            f"validation.speakers: {validation.speakers} of {len(speakers)} training speakers would "
            "leave fewer than 2 to train on"
        )
    return random.permutation(speakers)[: validation.speakers]
