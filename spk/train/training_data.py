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
from spk.data.data_dir import at, count_and_name, distinct, numbers_of, read_columns, values_of
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


class Speakers(NamedTuple):
    """Whose utterances are: `labels` [U] are places in the sorted `names` [S]."""

    names: np.ndarray
    labels: np.ndarray

    @classmethod
    def named(cls, names: Sequence[str]) -> Speakers:
        """Of utterances whose speakers have these names [U]."""
        found = distinct(names)
        label = {name: label for label, name in enumerate(found)}
        return cls(np.array(found, dtype=str), np.array([label[name] for name in names], dtype=np.int64))

    def voices(self) -> Speakers:
        """Whose voices they are: sp0.9-id0 has that of id0."""
        voices = Speakers.named([original(name) for name in self.names.tolist()])
        return Speakers(voices.names, voices.labels[self.labels])

    def of(self, chosen: np.ndarray) -> Speakers:
        """Of the chosen utterances alone, and only those who have some."""
        labels = self.labels[chosen]
        are_there = np.bincount(labels, minlength=len(self.names)) > 0
        return Speakers(self.names[are_there], (np.cumsum(are_there) - 1)[labels])


class UtteranceList(NamedTuple):
    """What training may use of a data directory, and whose it is."""

    utterances: list[str]
    speakers: Speakers
    voices: Speakers
    are_recorded: np.ndarray  # bool [U]: no copies at another speed, in noise or in a room
    lengths: list[str]  # [U] of utt2num_frames, or online of utt2dur


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
    is_held_out = np.isin(voices.names, draw_held_out(voices, validation, random))[voices.labels]

    def select(chosen: np.ndarray, whose: Speakers) -> Utterances:
        (names, labels), rows = whose.of(chosen), chosen.tolist()
        reader = FeatureReader(data_dir / "feats.scp", at(utterances, rows))
        table = data_dir / "utt2num_frames"
        num_frames = numbers_of(table, reader.utterances, at(lengths, rows), int, "steps/make_feats")
        return Utterances(reader=reader, num_frames=np.array(num_frames), labels=labels, speakers=names.tolist())

    def select_waves(chosen: np.ndarray, whose: Speakers, speeds: Sequence[float]) -> Utterances:
        from spk.data.wave_crops import named_at

        (names, labels), rows = whose.of(chosen), chosen.tolist()
        reader = open_waves(data_dir, sources, at(utterances, rows), at(lengths, rows), online, speeds)
        return Utterances(
            reader=reader,
            num_frames=reader.num_frames,
            labels=np.concatenate([labels + row * len(names) for row in range(len(speeds))]),
            speakers=[named_at(speaker, speed) for speed in speeds for speaker in names.tolist()],
        )

    in_training = np.flatnonzero(~is_held_out)
    training = select(in_training, speakers) if online is None else select_waves(in_training, speakers, online.speeds)
    if not validation.speakers:
        return training, None
    order = random.permutation(np.flatnonzero(is_held_out & are_recorded))
    by_voice = order[np.argsort(voices.labels[order], kind="stable")]
    voice = voices.labels[by_voice]
    first = np.searchsorted(voice, voice)
    few = np.sort(by_voice[np.arange(len(by_voice)) - first < validation.utterances_per_speaker])
    counts = np.unique(voices.labels[few], return_counts=True)[1]
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

    sources = read_sources_of(data_dir, utterances)
    lengths = values_of(*read_columns(data_dir / "utt2dur"), utterances)
    waves = open_waves(data_dir, sources, utterances, lengths, online, [1.0])
    return WaveFeatureReader(waves, online.front_end, online.device)


def open_waves(
    data_dir: Path,
    sources: Mapping[str, Source],
    utterances: Sequence[str],
    lengths: Sequence[str],
    online: Online,
    speeds: Sequence[float],
) -> WaveReader:
    """`lengths` [U] as utt2dur has them. InputError for one that is no number, or at a speed too short for a frame."""
    from spk.data.wave_crops import WaveReader

    table = data_dir / "utt2dur"
    durations = np.array(numbers_of(table, utterances, lengths, float, "steps/compute_durations"))
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
    held_out = draw_held_out(voices, validation, np.random.default_rng([seed, 1]))
    return set(voices.names.tolist()) - set(held_out.tolist())


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
    columns = {name: read_columns(data_dir / name) for name in dict.fromkeys(("utt2spk", lengths, table))}
    utterances, _ = columns[table]
    speakers, utt2length = (values_of(*columns[name], utterances) for name in ("utt2spk", lengths))
    if None in speakers or None in utt2length:
        first = min(values.index(None) for values in (speakers, utt2length) if None in values)
        others = "utt2spk" if is_online else "utt2spk or utt2num_frames"
        raise InputError(
            f"{data_dir}: utterance {utterances[first]!r} of {table} is missing in {others}; "
            f"run utils/fix_data_dir.sh {data_dir}"
        )
    speakers = voices = Speakers.named(speakers)
    are_recorded = np.ones(len(utterances), dtype=bool)
    if (data_dir / "utt2uniq").exists():
        voices = speakers.voices()
        sources = values_of(*read_columns(data_dir / "utt2uniq"), utterances)
        rows = enumerate(zip(utterances, sources, strict=True))
        copies = [row for row, (utterance, source) in rows if source not in (None, utterance)]
        everyone, _ = columns["utt2spk"]
        originals = values_of(everyone, everyone, at(sources, copies))
        are_recorded[copies] = [original is None for original in originals]
    if (data_dir / "utt2augmentation").exists():
        augmentations = values_of(*read_columns(data_dir / "utt2augmentation"), utterances)
        are_recorded &= np.array([said in (None, "{}") for said in augmentations], dtype=bool)
    return UtteranceList(utterances, speakers, voices, are_recorded, utt2length)


def check_own_speed(data_dir: Path, speakers: Speakers) -> None:
    """InputError where speech has other speeds already: at more of them, a voice would have two names at one speed."""
    faster = next((name for name in speakers.names.tolist() if original(name) != name), None)
    if faster is None and (table := data_dir / "utt2augmentation").exists():
        columns = zip(*read_columns(table), strict=True)
        faster = next((name for name, said in columns if '"speed"' in said), None)
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


def draw_held_out(voices: Speakers, validation: ValidationConfig, random: np.random.Generator) -> np.ndarray:
    """The names of the voices to hold out."""
    if validation.speakers and validation.speakers > len(voices.names) - 2:
        raise InputError(
            f"validation.speakers: {validation.speakers} of {len(voices.names)} training speakers would "
            "leave fewer than 2 to train on"
        )
    return random.permutation(voices.names)[: validation.speakers]
