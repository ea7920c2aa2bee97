"""From the frames of a data directory to the statistics of its utterances, in blocks that fit in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import torch
import yaml
from torch import Tensor

from spk.config import read_yaml
from spk.data.files import whole_file
from spk.errors import InputError
from spk.ivector.diagonal_gmm import DiagonalGmm
from spk.ivector.frames import Block, FrameReader
from spk.ivector.full_gmm import FullGmm
from spk.ivector.gmm_files import read_diagonal_gmm, read_full_gmm
from spk.ivector.posteriors import frame_posteriors
from spk.ivector.utterance_statistics import UtteranceStatistics, add_second_order, utterance_statistics
from spk.schema import AT_LEAST_ONE, POSITIVE, Range, check_arguments


@dataclass(frozen=True)
class PosteriorConfig:
    """How frames are shared among Gaussians. Kept as posteriors.yaml beside the extractor that was trained so."""

    num_gselect: Annotated[int, AT_LEAST_ONE] = 20
    min_post: Annotated[float, Range(0, 1)] = 0.025
    posterior_scale: Annotated[float, POSITIVE] = 1.0

    def __post_init__(self) -> None:
        check_arguments("posteriors", asdict(self), PosteriorConfig)


def read_posterior_config(extractor_dir: str | os.PathLike[str]) -> PosteriorConfig:
    """EXTRACTOR_DIR/posteriors.yaml. Raises InputError where there is none, or for a wrong key or value."""
    path = Path(extractor_dir) / "posteriors.yaml"
    if not path.exists():
        raise InputError(f"{path}: no such file; train the extractor with steps/train_ivector_extractor first")
    return PosteriorConfig(**check_arguments(f"{path}: posteriors", read_yaml(path), PosteriorConfig))


def write_posterior_config(extractor_dir: str | os.PathLike[str], config: PosteriorConfig) -> None:
    with whole_file(Path(extractor_dir) / "posteriors.yaml") as file:
        file.write("# How this extractor's frames are shared among the Gaussians of the UBM.\n")
        yaml.safe_dump(asdict(config), file, sort_keys=False)


def read_ubm(model_dir: str | os.PathLike[str]) -> tuple[DiagonalGmm, FullGmm]:
    """final.dubm, which selects Gaussians, and final.ubm. Raises InputError also where they do not belong together."""
    model_dir = Path(model_dir)
    diagonal, full = read_diagonal_gmm(model_dir / "final.dubm"), read_full_gmm(model_dir / "final.ubm")
    if diagonal.means.shape != full.means.shape:
        raise InputError(
            f"{model_dir / 'final.dubm'}: has {diagonal.num_gaussians} Gaussians of {diagonal.dim} values, but "
            f"final.ubm has {full.num_gaussians} of {full.dim}; train the UBM again"
        )
    return diagonal, full


class StatisticsReader:
    """Statistics of utterances with voiced frames; those without are collected in `without_voice`."""

    def __init__(
        self, frames: FrameReader, diagonal: DiagonalGmm, full: FullGmm, config: PosteriorConfig | None = None
    ) -> None:
        self.frames, self.config = frames, config or PosteriorConfig()
        self.diagonal, self.full = diagonal.to(frames.device), full.to(frames.device)
        self.without_voice: list[str] = []

    def blocks(
        self, most_utterances: int, second_order: Tensor | None = None
    ) -> Iterator[tuple[list[str], UtteranceStatistics]]:
        """Pass over the data once, in its order: names and statistics of up to `most_utterances` at a time.

        Second-order statistics are added to `second_order` [C, D, D], float64, where it is given.
        """
        self.without_voice = []
        for block in self.frames.blocks():
            for part in pieces(block, most_utterances):
                self.without_voice += [
                    name for name, count in zip(part.utterances, part.num_frames.tolist(), strict=True) if not count
                ]
                part = voiced(part)
                if part.utterances:
                    yield part.utterances, self._statistics(part, second_order)

    def _statistics(self, block: Block, second_order: Tensor | None) -> UtteranceStatistics:
        config = self.config
        posteriors = frame_posteriors(self.diagonal, self.full, block.frames, config.num_gselect, config.min_post)
        value = posteriors.value * config.posterior_scale
        if second_order is not None:
            add_second_order(second_order, block.frames, posteriors.index, value)
        return utterance_statistics(block.frames, posteriors.index, value, block.num_frames, self.full.num_gaussians)


def pieces(block: Block, most_utterances: int) -> Iterator[Block]:
    """A block as blocks of at most so many utterances."""
    first = 0
    for start in range(0, len(block.utterances), most_utterances):
        num_frames = block.num_frames[start : start + most_utterances]
        end = first + int(num_frames.sum())
        yield Block(block.utterances[start : start + most_utterances], num_frames, block.frames[first:end])
        first = end


def voiced(block: Block) -> Block:
    """Without the utterances that have no frames."""
    kept = torch.nonzero(block.num_frames)[:, 0]
    return Block([block.utterances[row] for row in kept.tolist()], block.num_frames[kept], block.frames)
