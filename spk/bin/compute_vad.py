"""Voice activity of every utterance of a data directory, from the log energy in its MFCC.

Usage: python3 -m spk.bin.compute_vad [--vad-energy-threshold X] [--vad-energy-mean-scale X] [--vad-frames-context N]
           [--vad-proportion-threshold X] DATA
Writes DATA/vad.ark and vad.scp: a vector of 0 and 1 for each utterance of DATA/feats.scp. Utterances without a voiced
frame are listed in DATA/unvoiced.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import numpy as np
import torch
from tqdm import tqdm

from spk.bin.command import argument_parser, command
from spk.data.ark import FeatureReader
from spk.data.feature_blocks import feature_blocks
from spk.data.files import whole_file
from spk.embed.write import write_embeddings
from spk.errors import InputError
from spk.feats.vad import VadConfig, voiced_frames
from spk.ivector.frames import BLOCK_FRAMES, features_of
from spk.schema import check_value

log = logging.getLogger(__name__)


def check_features(data_dir: Path) -> None:
    """InputError unless the first value of a frame is its log energy, as far as feats.yaml tells."""
    features = features_of(data_dir)
    if features is None:
        log.info("%s/feats.yaml is not there: the first value of a frame is taken for its log energy", data_dir)
        return
    said = "only kaldi_mfcc with use_energy true and htk_compat false has the log energy in its first value"
    if features.get("name") != "kaldi_mfcc":
        raise InputError(f"{data_dir}/feats.yaml: the features are {features.get('name')}; {said}")
    for option, wanted in (("use_energy", True), ("htk_compat", False)):
        if features.get(option, wanted) != wanted:
            raise InputError(f"{data_dir}/feats.yaml: {option} is {features[option]}; {said}")


class Decisions:
    """The voice activity of a reader's utterances, one after another; counts frames and gathers what has no voice."""

    def __init__(self, reader: FeatureReader, config: VadConfig) -> None:
        self.reader, self.config = reader, config
        self.num_frames = self.num_voiced = 0
        self.unvoiced: list[str] = []

    def __iter__(self) -> Iterator[np.ndarray]:
        """float32 [T] of 0 and 1."""
        for block in feature_blocks(self.reader, np.arange(len(self.reader)), BLOCK_FRAMES):
            energies, lengths = torch.from_numpy(block.frames[:, 0]), torch.from_numpy(block.num_frames)
            voiced = voiced_frames(energies, lengths, self.config).numpy().astype(np.float32)
            parts = np.split(voiced, block.num_frames.cumsum()[:-1])
            self.unvoiced += [
                self.reader.utterances[i] for i, part in zip(block.indices, parts, strict=True) if not part.any()
            ]
            self.num_frames += len(voiced)
            self.num_voiced += int(voiced.sum())
            yield from parts


def option_of(name: str) -> str:
    return "--vad-" + name.replace("_", "-")


def number(text: str | float) -> str | float:
    """The number that an option's text says; what says none is left for check_value to refuse."""
    with contextlib.suppress(ValueError):
        return float(text)
    return text


@command
def main() -> None:
    parser = argument_parser("compute_vad", __doc__)
    for field in fields(VadConfig):
        parser.add_argument(option_of(field.name), dest=field.name, default=field.default)
    parser.add_argument("data")
    options = parser.parse_args()
    hints = get_type_hints(VadConfig, include_extras=True)
    config = VadConfig(
        **{name: check_value(option_of(name), number(getattr(options, name)), hint) for name, hint in hints.items()}
    )
    data_dir = Path(options.data)
    if not (data_dir / "feats.scp").exists():
        raise InputError(f"{data_dir / 'feats.scp'}: no such file; run steps/make_feats {data_dir} first")
    check_features(data_dir)

    reader = FeatureReader(data_dir / "feats.scp")
    decisions = Decisions(reader, config)
    with tqdm(decisions, total=len(reader), unit="utt", disable=not sys.stderr.isatty()) as bar:
        write_embeddings(str(data_dir / "vad"), reader.utterances, bar)
    listed = data_dir / "unvoiced"
    listed.unlink(missing_ok=True)
    if decisions.unvoiced:
        with whole_file(listed) as file:
            file.writelines(f"{utterance}\n" for utterance in decisions.unvoiced)
        log.info("%d utterances have no voiced frame; they are listed in %s", len(decisions.unvoiced), listed)
    log.info(
        "%d utterances, %.1f %% of %d frames voiced",
        len(reader),
        100 * decisions.num_voiced / decisions.num_frames,
        decisions.num_frames,
    )


if __name__ == "__main__":
    main()
