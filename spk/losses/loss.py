"""What all objectives share: their names, their signature, the batches they can work with, and float32."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from spk.errors import InputError
from spk.registry import Registry
from spk.schema import AT_LEAST_ONE, Range

LEAST_LENGTH = 1e-6  # what float32 leaves of vectors that cancel one another is shorter

LOSSES = Registry("loss", given=("embedding_dim", "num_speakers", "utterances_per_speaker", "shard"))


class Loss(nn.Module, abc.ABC):
    """Base of the objectives: embeddings [B, D] and speaker labels [B] in 0..C-1 -> the scalar mean over the batch.

    A subclass writes `loss`. It always works in float32 (float64 stays), autocast off: in half precision a cosine of
    1 - 1e-4 rounds to 1.
    """

    utterances: ClassVar[Range] = AT_LEAST_ONE  # of each speaker in a batch: what the objective can work with
    speakers: ClassVar[Range] = AT_LEAST_ONE  # in a batch
    backend: ClassVar[str | dict[str, Any]] = "cosine"  # compares embeddings as the objective does

    @classmethod
    def fixed(cls, section: dict[str, Any]) -> tuple[str, ...]:
        """Arguments that no curriculum can set: where a learnt parameter starts, or what this section does not read."""
        return ()

    @classmethod
    def classifies(cls, section: dict[str, Any]) -> bool:
        """Has it weights for each training speaker?"""
        return False

    @classmethod
    def check_batch(cls, num_speakers: int, utterances_per_speaker: int, section: dict[str, Any]) -> None:
        """Raise InputError, with the numbers, for batches that the objective of this config section cannot use."""
        name = section["name"]
        if not cls.utterances.holds(utterances_per_speaker):
            raise InputError(
                f"batch.utterances_per_speaker: {utterances_per_speaker} is out of range for the loss {name}; "
                f"allowed: {cls.utterances}"
            )
        if not cls.speakers.holds(num_speakers):
            raise InputError(
                f"batch.size: {num_speakers * utterances_per_speaker} is {num_speakers} speaker a batch; "
                f"the loss {name} compares speakers, so at least {cls.speakers.least:g} are needed"
            )

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(embeddings.device.type, enabled=False):
            full = embeddings if embeddings.dtype == torch.float64 else embeddings.float()
            return self.loss(full, labels)

    @abc.abstractmethod
    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The objective itself."""


def unit(x: Tensor) -> Tensor:
    """x / |x| along the last dimension. A vector of no length has no direction: 0, with gradient 0 and not 1 / 0."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / length.masked_fill(length < LEAST_LENGTH, torch.inf)
