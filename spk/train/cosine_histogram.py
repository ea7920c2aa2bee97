"""How close training crops come to their speakers: what figure 1 of 'Dynamic Margin Softmax Loss' is drawn from."""

from __future__ import annotations

import torch

from spk.collectives import ALONE, Group
from spk.losses.classifier import classifiers
from spk.losses.loss import Loss

NUM_BINS = 100  # equal ones of [-1, 1]


class CosineHistogram:
    """Counts of cos(theta) between crops and their speakers' weights, before any margin, since they were last taken.

    They stay on the loss's device: to add to them waits for nothing. Losses without such a cosine have no parts.
    """

    def __init__(self, loss: Loss, device: torch.device, group: Group = ALONE) -> None:
        self.parts = [part for part in classifiers(loss).values() if part.on_cosines]
        self.is_sharded = any(part.shard is not None for part in self.parts)
        self.group = group
        self.counts = torch.zeros(NUM_BINS, dtype=torch.int64, device=device)

    def add(self) -> None:
        """What the loss has just met."""
        for part in self.parts:
            bins = ((part.target_cosines + 1) * (NUM_BINS / 2)).long().clamp_(0, NUM_BINS - 1)
            self.counts += (bins[:, None] == torch.arange(NUM_BINS, device=bins.device)).sum(dim=0)

    def take(self) -> list[int]:
        """The counts, which begin at 0 again. All processes call it."""
        counts = self.state()
        self.counts.zero_()
        return counts

    def state(self) -> list[int]:
        """The counts, of all processes that hold speakers of their own; each of these calls it."""
        return (self.group.all_reduce_sum(self.counts) if self.is_sharded else self.counts).tolist()

    def load(self, counts: list[int] | None) -> None:
        """Go on from a checkpoint; None: of one that was saved before there were counts."""
        if counts is not None and (self.group.rank == 0 or not self.is_sharded):
            self.counts.copy_(torch.tensor(counts))
