"""The training utterances of a data directory, and the speakers of it that are held out for validation.

They are the utterances that have features, or, when features are made online, those whose duration is known.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spk.config import ValidationConfig
from spk.data.ark import FeatureReader
from spk.data.data_dir import count_and_name, read_table
from spk.errors import InputError

if TYPE_CHECKING:  # training on arks needs no library that reads audio
    import torch

    from spk.data.features import Source
    from spk.data.wave_crops import WaveReader
    from spk.feats.front_end import FrontEnd
    from spk.train.wave_features import WaveFeatureReader

NOISE_FILES = ("wav.scp", "utt2dur")  # of a directory of noises


@dataclass(frozen=True)
class Utterances:
    """Utterances of one use: their reader, frame counts [U], speakers [U] as 0..S-1, and the speakers' names [S]."""

    reader: FeatureReader | WaveReader | WaveFeatureReader
    num_frames: np.ndarray
    labels: np.ndarray
    speakers: list[str]


@dataclass(frozen=True)
class Online:
    """How features are made while training: by which front end, where, and at which speeds training speech is read."""

    front_end: FrontEnd
    device: torch.device
    speeds: Sequence[float] = (1.0,)  # the first is 1


def read_training_data(
    data_dir: str | os.PathLike[str], validation: ValidationConfig, seed: int, online: Online | None = None
) -> tuple[Utterances, Utterances | None]:
    """(training, validation) utterances: disjoint in speakers; validation is None when no speaker is held out.

    Which speakers are held out, and which of their utterances, depends on the seed and the speaker list alone. With
    `online` the training utterances' reader is a WaveReader, and that of validation works features out of waveforms;
    training utterances are there at each speed, at which their speakers are others.
    """
    data_dir = Path(data_dir)
    utterances, names, lengths = read_utterances(data_dir, is_online=online is not None)
    sources = read_sources_of(data_dir, utterances) if online is not None else {}
    random = np.random.default_rng([seed, 1])
    held_out = draw_held_out(names, validation, random)
    is_held_out = np.isin(names, held_out)

    def select(chosen: np.ndarray) -> Utterances:
        kept = [utterances[index] for index in chosen]
        kept_speakers, labels = np.unique(names[chosen], return_inverse=True)
        return Utterances(
            reader=FeatureReader(data_dir / "feats.scp", kept),
            num_frames=np.array([int(lengths[utterance]) for utterance in kept]),
            labels=labels.astype(np.int64),
            speakers=kept_speakers.tolist(),
        )

    def select_waves(chosen: np.ndarray, speeds: Sequence[float]) -> Utterances:
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
    training = select(in_training) if online is None else select_waves(in_training, online.speeds)
    if not validation.speakers:
        return training, None
    order = random.permutation(np.flatnonzero(is_held_out))
    by_speaker = order[np.argsort(names[order], kind="stable")]
    first = np.searchsorted(names[by_speaker], names[by_speaker])
    few = by_speaker[np.arange(len(by_speaker)) - first < validation.utterances_per_speaker]
    validating = select(np.sort(few)) if online is None else with_features(select_waves(np.sort(few), [1.0]), online)
    if np.bincount(validating.labels).max() < 2:
        raise InputError(
            f"validation.speakers: none of the {validation.speakers} held-out speakers has two utterances, "
            "so there is no target trial; hold out more speakers, or 0 for none"
        )
    return training, validating


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
    """The speakers of the training utterances that `read_training_data` gives, at their own speed."""
    names = read_utterances(Path(data_dir), is_online=is_online)[1]
    return set(names.tolist()) - set(draw_held_out(names, validation, np.random.default_rng([seed, 1])).tolist())


def training_files(data_dir: Path, is_online: bool) -> list[str]:
    """The names of the tables of a data directory that training goes by."""
    if not is_online:
        return ["feats.scp", "feats.yaml", "utt2spk", "utt2num_frames"]
    optional = ("segments", "utt2augmentation")
    return ["wav.scp", "utt2spk", "utt2dur", *(name for name in optional if (data_dir / name).exists())]


def read_utterances(data_dir: Path, *, is_online: bool = False) -> tuple[list[str], np.ndarray, dict[str, str]]:
    """The utterances with features, their speakers' names [U], and utt2num_frames; online, those of utt2dur, and it."""
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
    names = np.array([utt2spk[utterance] for utterance in utterances])
    return utterances, names, utt2length


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


def draw_held_out(names: np.ndarray, validation: ValidationConfig, random: np.random.Generator) -> np.ndarray:
    """The speakers to hold out, of those who have the utterances: `names` [U]."""
    speakers = np.unique(names)
    if validation.speakers and validation.speakers > len(speakers) - 2:
        raise InputError(
            f"validation.speakers: {validation.speakers} of {len(speakers)} training speakers would "
            "leave fewer than 2 to train on"
        )
    return random.permutation(speakers)[: validation.speakers]
