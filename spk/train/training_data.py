"""The training utterances of a data directory, and the speakers of it that are held out for validation."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spk.config import ValidationConfig
from spk.data.ark import FeatureReader
from spk.data.data_dir import read_table
from spk.errors import InputError


@dataclass(frozen=True)
class Utterances:
    """Utterances of one use: their reader, frame counts [U], speakers [U] as 0..S-1, and the speakers' names [S]."""

    reader: FeatureReader
    num_frames: np.ndarray
    labels: np.ndarray
    speakers: list[str]


def read_training_data(
    data_dir: str | os.PathLike[str], validation: ValidationConfig, seed: int
) -> tuple[Utterances, Utterances | None]:
    """(training, validation) utterances: disjoint in speakers; validation is None when no speaker is held out.

    Which speakers are held out, and which of their utterances, depends on the seed and the speaker list alone.
    """
    data_dir = Path(data_dir)
    utterances, names, utt2num_frames = read_utterances(data_dir)
    random = np.random.default_rng([seed, 1])
    held_out = draw_held_out(names, validation, random)
    is_held_out = np.isin(names, held_out)

    def select(chosen: np.ndarray) -> Utterances:
        kept = [utterances[index] for index in chosen]
        kept_speakers, labels = np.unique(names[chosen], return_inverse=True)
        return Utterances(
            reader=FeatureReader(data_dir / "feats.scp", kept),
            num_frames=np.array([int(utt2num_frames[utterance]) for utterance in kept]),
            labels=labels.astype(np.int64),
            speakers=kept_speakers.tolist(),
        )

    training = select(np.flatnonzero(~is_held_out))
    if not validation.speakers:
        return training, None
    order = random.permutation(np.flatnonzero(is_held_out))
    by_speaker = order[np.argsort(names[order], kind="stable")]
    first = np.searchsorted(names[by_speaker], names[by_speaker])
    few = by_speaker[np.arange(len(by_speaker)) - first < validation.utterances_per_speaker]
    validating = select(np.sort(few))
    if np.bincount(validating.labels).max() < 2:
        raise InputError(
            f"validation.speakers: none of the {validation.speakers} held-out speakers has two utterances, "
            "so there is no target trial; hold out more speakers, or 0 for none"
        )
    return training, validating


def speakers_trained_on(data_dir: str | os.PathLike[str], validation: ValidationConfig, seed: int) -> set[str]:
    """The speakers of the training utterances that `read_training_data` gives."""
    names = read_utterances(Path(data_dir))[1]
    return set(names.tolist()) - set(draw_held_out(names, validation, np.random.default_rng([seed, 1])).tolist())


def read_utterances(data_dir: Path) -> tuple[list[str], np.ndarray, dict[str, str]]:
    """The utterances with features, their speakers' names [U], and utt2num_frames."""
    for name in ("feats.scp", "utt2spk", "utt2num_frames"):
        if not (data_dir / name).exists():
            raise InputError(f"{data_dir / name}: no such file; run steps/make_feats {data_dir} first")
    utt2spk = read_table(data_dir / "utt2spk")
    utt2num_frames = read_table(data_dir / "utt2num_frames")
    utterances = list(read_table(data_dir / "feats.scp"))
    for utterance in utterances:
        if utterance not in utt2spk or utterance not in utt2num_frames:
            raise InputError(
                f"{data_dir}: utterance {utterance!r} of feats.scp is missing in utt2spk or utt2num_frames; "
                f"run utils/fix_data_dir.sh {data_dir}"
            )
    names = np.array([utt2spk[utterance] for utterance in utterances])
    return utterances, names, utt2num_frames


def draw_held_out(names: np.ndarray, validation: ValidationConfig, random: np.random.Generator) -> np.ndarray:
    """The speakers to hold out, of those who have the utterances: `names` [U]."""
    speakers = np.unique(names)
    if validation.speakers and validation.speakers > len(speakers) - 2:
        raise InputError(
            f"validation.speakers: {validation.speakers} of {len(speakers)} training speakers would "
            "leave fewer than 2 to train on"
        )
    return random.permutation(speakers)[: validation.speakers]
