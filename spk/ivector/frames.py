"""The frames that the UBM and the i-vectors see: features with deltas, less a sliding mean, where there is voice."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import yaml
from torch import Tensor

from spk.config import read_yaml
from spk.data.ark import FeatureReader, where
from spk.data.data_dir import read_table
from spk.data.feature_blocks import BLOCK_FRAMES, feature_blocks
from spk.data.files import whole_file
from spk.data.front_end import features_of
from spk.errors import InputError
from spk.feats.deltas import add_deltas
from spk.feats.sliding_cmn import subtract_sliding_mean
from spk.schema import AT_LEAST_ONE, NOT_NEGATIVE, check_arguments

FRAMES_IN_CACHE = 5_000  # what passes through deltas and CMN at once on the CPU: 1.5 to 2.5 times as fast as 100,000


@dataclass(frozen=True)
class FrameConfig:
    """From features to frames. Kept as frames.yaml beside the models, for they fit no other frames."""

    delta_window: Annotated[int, AT_LEAST_ONE] = 3
    delta_order: Annotated[int, NOT_NEGATIVE] = 2
    cmn_window: Annotated[int, AT_LEAST_ONE] = 300
    features: dict[str, Any] | None = None  # the front end, DATA/feats.yaml; None: made elsewhere, by whatever

    def __post_init__(self) -> None:
        check_arguments("frames", asdict(self), FrameConfig)


def read_frame_config(model_dir: str | os.PathLike[str]) -> FrameConfig:
    """MODEL_DIR/frames.yaml. Raises InputError where there is none, or for a wrong key or value."""
    path = Path(model_dir) / "frames.yaml"
    if not path.exists():
        raise InputError(f"{path}: no such file; train the UBM with steps/train_ubm first")
    return FrameConfig(**check_arguments(f"{path}: frames", read_yaml(path), FrameConfig))


def write_frame_config(model_dir: str | os.PathLike[str], config: FrameConfig) -> None:
    with whole_file(Path(model_dir) / "frames.yaml") as file:
        file.write("# How the frames of these models are made from features.\n")
        yaml.safe_dump(asdict(config), file, sort_keys=False)


@dataclass(frozen=True)
class Block:
    """Voiced `frames` [T, D] float32 of `utterances`, one after another: utterance u has num_frames[u] (int64 [U]).

    0 for an utterance without a voiced frame.
    """

    utterances: list[str]
    num_frames: Tensor
    frames: Tensor


class FrameReader:
    """Frames of a data directory's utterances, from feats.scp and vad.scp, in blocks that fit in memory."""

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        config: FrameConfig,
        utterances: Sequence[str] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """`utterances`: only these, in this order (default: all of feats.scp, in its order).

        Raises InputError where feats.scp or vad.scp is missing, vad.scp lacks an utterance, or feats.yaml says that the
        features are others than those of `config`.
        """
        data_dir = Path(data_dir)
        for name, step in (("feats.scp", "make_feats"), ("vad.scp", "compute_vad")):
            if not (data_dir / name).exists():
                raise InputError(f"{data_dir / name}: no such file; run steps/{step} {data_dir} first")
        self.config, self.device = config, torch.device(device)
        self.features = FeatureReader(data_dir / "feats.scp", utterances)
        self.utterances = self.features.utterances
        self.dim = self.features.dim * (config.delta_order + 1)
        self._check_front_end(data_dir)
        has_vad = read_table(data_dir / "vad.scp")
        if missing := [utterance for utterance in self.utterances if utterance not in has_vad]:
            raise InputError(
                f"{data_dir / 'vad.scp'}: lacks {len(missing)} of {len(self.utterances)} utterances, first "
                f"{missing[0]!r}; run steps/compute_vad {data_dir} again"
            )
        self.vad = FeatureReader(data_dir / "vad.scp", self.utterances)

    def __len__(self) -> int:
        return len(self.utterances)

    def check_dim(self, dim: int, model: str | os.PathLike[str]) -> None:
        """InputError unless frames have the dimension of the model, which `model` names."""
        if dim != self.dim:
            raise InputError(
                f"{self.features.scp.path}: features of {self.features.dim} values make frames of {self.dim}, but "
                f"{model} is for {dim}; give it the features that it was trained on"
            )

    def blocks(self, subsample: int = 1, block_frames: int = BLOCK_FRAMES) -> Iterator[Block]:
        """All utterances in order, of each every `subsample`-th voiced frame from the first on.

        A block has `block_frames` frames or somewhat more; fewer only at the end.
        """
        waiting: list[Block] = []
        for block in self._voiced(np.arange(len(self))):
            if subsample > 1:
                block = every_nth(block, subsample)
            waiting.append(block)
            if sum(len(part.frames) for part in waiting) >= block_frames:
                yield joined(waiting)
                waiting = []
        if waiting:
            yield joined(waiting)

    def num_voiced(self) -> np.ndarray:
        """int64 [U]: the voiced frames of every utterance, from vad.scp alone."""
        return np.array([np.count_nonzero(self.vad.whole(index)) for index in range(len(self))], np.int64)

    def sample(self, num_frames: int, seed: int) -> Tensor:
        """`num_frames` voiced frames drawn without repetition, in the data's order; all, if there are no more: [n, D].

        Only utterances that hold one of them are read.
        """
        ends = self.num_voiced().cumsum()
        total = int(ends[-1])
        if num_frames < total:
            chosen = np.random.default_rng(seed).choice(total, num_frames, replace=False, shuffle=False)
            chosen.sort()
        else:
            chosen = np.arange(total)
        owner = np.searchsorted(ends, chosen, side="right")
        needed = np.unique(owner)
        parts, done = [], 0
        for block in self._voiced(needed):
            indices = needed[done : done + len(block.utterances)]
            done += len(indices)
            num_voiced = block.num_frames.cpu().numpy()
            first, last = np.searchsorted(owner, indices[0]), np.searchsorted(owner, indices[-1], side="right")
            begins_here = (num_voiced.cumsum() - num_voiced)[np.searchsorted(indices, owner[first:last])]
            begins_in_all = (ends - np.diff(ends, prepend=0))[owner[first:last]]
            parts.append(
                block.frames[torch.from_numpy(chosen[first:last] - begins_in_all + begins_here).to(self.device)]
            )
        return torch.cat(parts) if parts else torch.empty((0, self.dim), device=self.device)

    def _voiced(self, indices: np.ndarray) -> Iterator[Block]:
        """Small blocks of voiced frames."""
        most_frames = FRAMES_IN_CACHE if self.device.type == "cpu" else BLOCK_FRAMES
        for block in feature_blocks(self.features, indices, most_frames):
            voiced = np.concatenate(
                [self._voice(index, count) for index, count in zip(block.indices, block.num_frames, strict=True)]
            )
            lengths = torch.from_numpy(block.num_frames).to(self.device)
            mask = torch.from_numpy(voiced).to(self.device)
            frames = add_deltas(
                torch.from_numpy(block.frames).to(self.device),
                lengths,
                self.config.delta_window,
                self.config.delta_order,
            )
            frames = subtract_sliding_mean(frames, lengths, self.config.cmn_window)[mask]
            counts = np.add.reduceat(voiced.astype(np.int64), block.num_frames.cumsum() - block.num_frames)
            names = [self.utterances[index] for index in block.indices]
            yield Block(names, torch.from_numpy(counts).to(self.device), frames)

    def _voice(self, index: int, num_frames: int) -> np.ndarray:
        """bool [T]: is there voice in the frames of an utterance?"""
        vad = self.vad.whole(index)
        if vad.shape != (num_frames, 1):
            raise InputError(
                f"{where(self.vad.scp, index)}: is about {len(vad)} frames, but the features have {num_frames}; "
                "run steps/compute_vad again"
            )
        return vad[:, 0] != 0

    def _check_front_end(self, data_dir: Path) -> None:
        there, wanted = features_of(data_dir), self.config.features
        if there is None or wanted is None:
            return
        name = next((name for name in [*wanted, *there] if wanted.get(name) != there.get(name)), None)
        if name is None:
            return
        raise InputError(
            f"{data_dir / 'feats.yaml'}: {name} is {there.get(name)!r}, but the UBM's features have "
            f"{wanted.get(name)!r}; make the features with the configuration that the UBM was trained on"
        )


def every_nth(block: Block, step: int) -> Block:
    """Of each utterance the frames 0, step, 2 step, ..."""
    ends = block.num_frames.cumsum(0)
    begins = torch.repeat_interleave(ends - block.num_frames, block.num_frames)
    place = torch.arange(len(block.frames), device=block.frames.device) - begins
    kept = (block.num_frames + step - 1) // step
    return Block(block.utterances, kept, block.frames[place % step == 0])


def joined(blocks: list[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    utterances = [utterance for block in blocks for utterance in block.utterances]
    return Block(
        utterances,
        torch.cat([block.num_frames for block in blocks]),
        torch.cat([block.frames for block in blocks]),
    )
