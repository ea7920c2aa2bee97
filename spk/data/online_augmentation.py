"""What is added to training crops, and the rooms they are heard in, drawn for each crop of a batch."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import NamedTuple

from spk.config import AugmentationConfig
from spk.data.augmentation import Augmentation
from spk.data.augmentation_plan import Drawing
from spk.data.noise_dir import read_noise_dir
from spk.data.sampler import Batch
from spk.errors import InputError


class OnlineAugmentation(NamedTuple):
    """Noises, music, babble and rooms as `Drawing` draws them for utterances, for a share of the crops."""

    drawing: Drawing
    probability: float  # of a crop to be augmented

    def draw(self, batch: Batch, seconds: float, rows: slice = slice(None)) -> list[Augmentation | None]:
        """One for each of these crops of the batch, of so many seconds: a function of the batch and the row alone."""
        drawing = dataclasses.replace(self.drawing, seed=batch.seed)
        drawn: list[Augmentation | None] = []
        for row in range(len(batch.utterances))[rows]:
            crop = f"{batch.epoch} {batch.position} {row}"
            is_augmented = drawing.uniform("augmented", crop)() < self.probability
            drawn.append(drawing.draw(drawing.draw_kind(crop), crop, seconds) if is_augmented else None)
        return drawn


def open_augmentation(config: AugmentationConfig) -> OnlineAugmentation | None:
    """With the lists of its data directories read; None when it names none. InputError for others."""
    if not config.data_dirs:
        return None
    for kind, folder in config.data_dirs.items():
        if (Path(folder) / "wav.scp").exists() and not (Path(folder) / "utt2dur").exists():
            raise InputError(
                f"augmentation.{kind}: {folder}/utt2dur: no such file; run steps/compute_durations {folder} first"
            )
    drawing = Drawing(
        **{kind: read_noise_dir(folder) for kind, folder in config.data_dirs.items()},
        noise_snrs=tuple(config.noise_snrs),
        music_snrs=tuple(config.music_snrs),
        babble_snrs=tuple(config.babble_snrs),
    )
    return OnlineAugmentation(drawing, config.probability)
