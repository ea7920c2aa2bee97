"""Softmax over the training speakers: what the objectives with weights for each of them share."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spk.losses.initial_rows import xavier_normal_rows
from spk.losses.loss import Loss
from spk.losses.shard import Shard, ShardedCrossEntropy, SharedInput, Targets


@dataclass(frozen=True)
class DrawnRows:
    """What a batch was compared with: numbers [K] of the rows, and for each parameter a leaf [K, ...] of them."""

    numbers_K: Tensor
    leaves: tuple[Tensor, ...]


class Classifier(Loss):
    """L = -mean log( e^{l_y} / sum_j e^{l_j} ), j over the speakers. A subclass writes the `logits` l, margin included.

    With a `shard`, parameters have rows for the speakers of this process only. Embeddings and labels are the whole
    batch, alike on all processes; the value is that over all speakers, alike on all, too; the embeddings' gradient is
    summed over processes.

    `drawn_C`, when it is set (bool, one for each row), leaves out of the sum the speakers that are neither drawn nor
    a target of the batch: partial softmax, An et al. (arXiv:2203.15565). `drawn_rows` then has the gradients of
    those in it; the parameters' own stay None.

    Letters: B batch, C rows, K rows in use, D dimensions.
    """

    on_cosines: ClassVar[bool] = False  # True: `target_cosines` has those of the last batch

    def __init__(self, embedding_dim: int, num_speakers: int, shard: Shard | None) -> None:
        super().__init__()
        self.num_speakers = num_speakers
        self.embedding_dim = embedding_dim
        self.shard = shard
        self.drawn_C: Tensor | None = None
        self.drawn_rows: DrawnRows | None = None
        self.target_cosines: Tensor | None = None  # [N] of the crops with their speakers' rows, no margin applied

    @classmethod
    def classifies(cls, section: dict[str, Any]) -> bool:
        return True

    @property
    def rows(self) -> tuple[int, int]:
        """(first, last) of the speakers that the parameters have rows for."""
        return (0, self.num_speakers) if self.shard is None else (self.shard.first, self.shard.last)

    def draw_weights(self) -> Tensor:
        """Initial weights [C, D]: Xavier-normal, the same for any number of processes."""
        return xavier_normal_rows(self.num_speakers, self.embedding_dim, *self.rows)

    @abc.abstractmethod
    def row_parameters(self) -> dict[str, nn.Parameter]:
        """By name, what has a row for each speaker, in the order in which `logits` takes them."""

    @abc.abstractmethod
    def logits(self, embeddings: Tensor, targets: Targets, *rows: Tensor) -> Tensor:
        """[B, K] of embeddings [B, D] and rows [K, ...] of each of the `row_parameters`."""

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        labels = labels if self.shard is None else self.shard.own(labels)
        rows, labels = self.rows_in_use(labels)
        if self.shard is None:
            targets = torch.arange(len(labels), device=labels.device), labels
            return F.cross_entropy(self.logits(embeddings, targets, *rows), labels)
        samples = (labels >= 0).nonzero()[:, 0]
        targets = samples, labels[samples]
        embeddings = SharedInput.apply(embeddings, self.shard.group)
        return ShardedCrossEntropy.apply(self.logits(embeddings, targets, *rows), targets, self.shard.group)

    def change_targets(self, cosine_BK: Tensor, targets: Targets, change: Callable[[Tensor], Tensor]) -> Tensor:
        """The cosines with `change` of each target's in its place."""
        target_cosines = cosine_BK[targets]
        self.target_cosines = target_cosines.detach()
        return cosine_BK.index_put(targets, change(target_cosines))

    def rows_in_use(self, labels: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """The rows of each parameter, and where among them each label's is (-1 stays)."""
        parameters = tuple(self.row_parameters().values())
        if self.drawn_C is None:
            return parameters, labels
        in_use_C = self.drawn_C.to(labels.device, copy=True)
        in_use_C[labels[labels >= 0]] = True
        numbers_K = in_use_C.nonzero()[:, 0]
        leaves = tuple(parameter.detach()[numbers_K].requires_grad_() for parameter in parameters)
        self.drawn_rows = DrawnRows(numbers_K, leaves)
        return leaves, torch.where(labels >= 0, torch.searchsorted(numbers_K, labels), -1)


def classifiers(loss: Loss) -> dict[str, Classifier]:
    """Those in a loss, itself or its parts, by what stands before their parameters' names: '' or 'first.'."""
    found = {name: part for name, part in loss.named_modules() if isinstance(part, Classifier)}
    return {f"{name}.".lstrip("."): part for name, part in found.items()}
