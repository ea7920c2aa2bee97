"""One batch through a network and back, on a device: what training and the search for a batch size share."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from spk.collectives import ALONE, Group
from spk.config import SystemConfig
from spk.data.share import WHOLE, Share
from spk.errors import InputError
from spk.nets.embedder import Embedder
from spk.nets.recomputation import recomputed

log = logging.getLogger(__name__)


def place(module: nn.Module, device: torch.device) -> nn.Module:
    """On the device, in the memory layout that its convolutions are fastest with."""
    module.to(device)
    return module.to(memory_format=torch.channels_last) if device.type == "cuda" else module


@contextlib.contextmanager
def device_arithmetic(device: torch.device) -> Iterator[None]:
    """How a GPU computes within: float32 is float32, not TF32's 10 bits; of the ways to convolve it takes the fastest.

    cuDNN tries its algorithms once for each shape, which pays for training's crops, all of one length, and would not
    for validation's whole utterances.
    """
    if device.type != "cuda":
        yield
        return
    cudnn, matmul, before = torch.backends.cudnn, torch.backends.cuda.matmul, torch.backends.cuda.matmul.allow_tf32
    kept = {"enabled": cudnn.enabled, "deterministic": cudnn.deterministic}  # `flags` would set what it is not given
    matmul.allow_tf32 = False
    try:
        with cudnn.flags(**kept, benchmark=True, allow_tf32=False):
            yield
    finally:
        matmul.allow_tf32 = before


def compiled(embedder: Embedder, mode: bool | str) -> Callable[..., Tensor]:
    """What to call in its place in training, as `train.compile` says. Parameters and buffers remain the embedder's own.

    Batches have one shape, for which alone it is compiled. reduce-overhead, and max-autotune on a GPU, replay CUDA
    graphs: what they return is overwritten by the next batch, before which a step is done with it. With
    `train.accumulate` there is a graph for each size of a part, and for parts that are computed again.
    """
    if not mode:
        return embedder
    log.info("train.compile: the first steps compile the network, for minutes, in which nothing is said")
    return torch.compile(embedder, mode=None if mode is True else mode, dynamic=False)


def least_speakers(config: SystemConfig, num_processes: int = 1) -> int:
    """Of a batch that goes through the network in parts: of each a process has some, two crops where it norms alone."""
    own_norm = num_processes == 1 or not config.train.sync_batch_norm
    in_part = 2 if own_norm and config.batch.utterances_per_speaker == 1 else 1
    return num_processes * config.train.accumulate * in_part if config.train.accumulate > 1 else 1


def check_parts(config: SystemConfig, num_processes: int) -> None:
    """InputError for train.accumulate that leaves too little in a part."""
    least = least_speakers(config, num_processes)
    if config.batch.num_speakers < least:
        processes = f" in each of {num_processes} processes" if num_processes > 1 else ""
        raise InputError(
            f"train.accumulate: {config.train.accumulate} parts{processes} need a batch of {least} speakers or more, "
            f"and batch.size: {config.batch.size} is {config.batch.num_speakers}; lower train.accumulate"
        )


class TrainingStep:
    """How a batch goes through an embedder and a loss, and back.

    `precision` bfloat16: the network under autocast. The loss is always float32. With `parts` more than one, the batch
    goes through the network in that many, whole speakers each, whose activations are computed again on the way back:
    memory is that of one part. The loss is that of the whole batch; only batch norm sees parts.
    In a `group` every process has its `share` of the crops, and its share of each part, so that parts are the same for
    any number of processes. `forward` stands in for the embedder itself, a compiled one, for example.
    """

    def __init__(
        self,
        embedder: Embedder,
        loss: nn.Module,
        precision: str,
        parts: int = 1,
        group: Group = ALONE,
        share: Share = WHOLE,
        forward: Callable[..., Tensor] | None = None,
    ) -> None:
        self.embedder, self.loss, self.precision = embedder, loss, precision
        self.parts, self.group, self.share = parts, group, share
        self.forward = embedder if forward is None else forward

    def forward_backward(self, features: Tensor, labels: Tensor, masked: Tensor | None = None) -> Tensor:
        """Features [S, T, F] of the share, labels [B] of the whole batch -> the loss.

        Where `masked` [S, T, F] is True the network sees 0. Gradients are added to the parameters' own: of the loss's
        those of the whole batch, of the network's this share's part of them.
        """
        # Every weight is used once a part, so that a copy in bfloat16 kept for a second use would help nothing; and
        # parts' gradients are to be summed in float32.
        autocast = torch.autocast(
            features.device.type, torch.bfloat16, enabled=self.precision == "bfloat16", cache_enabled=False
        )
        with device_arithmetic(features.device):
            with autocast:
                embeddings = self.embed(features, masked, len(labels))
            if self.group.size > 1:
                full = embeddings if embeddings.dtype == torch.float64 else embeddings.float()
                embeddings = self.group.gather_rows(full, self.share.counts(len(labels)))
            value = self.loss(embeddings, labels)
            value.backward()
        return value.detach()

    def embed(self, features: Tensor, masked: Tensor | None, num_crops: int) -> Tensor:
        """Of a batch of so many crops, the embeddings of those that `features` holds."""
        if self.parts == 1:
            return self.forward(features, None, masked)
        embeddings = []
        rows_of_parts = self.rows_of_parts(num_crops)
        for part, rows in enumerate(rows_of_parts, start=1):
            rows = rows.to(features.device, non_blocking=True)
            arguments = (features[rows], None, None if masked is None else masked[rows])
            if part < self.parts:
                embeddings.append(recomputed(self.embedder, self.forward, *arguments))
            else:  # the backward pass begins with it, and is done with it before it needs another
                embeddings.append(self.forward(*arguments))
        order = torch.cat(rows_of_parts).argsort()
        return torch.cat(embeddings)[order.to(features.device, non_blocking=True)]

    def rows_of_parts(self, num_crops: int) -> list[Tensor]:
        """Of each part, the rows of this share's features: every K-th speaker of the batch."""
        rows = torch.arange(num_crops)[self.share.rows(num_crops)]
        part_of_row = rows // self.share.utterances_per_speaker % self.parts
        return [(part_of_row == part).nonzero()[:, 0] for part in range(self.parts)]
