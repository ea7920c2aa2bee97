"""When training waits for its device, to read what the steps since the last time came to.

Reading one number of a step waits until a GPU has done all that it was given, and meanwhile it is given nothing new. So
losses and norms stay there, and are read when something is done with them, and once a second, that a signal to stop is
soon obeyed and a loss that is not finite soon found. The CPU works on what it is told at once, and each step is read.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import torch
from torch import Tensor

from spk.collectives import ALONE, Group
from spk.data.sampler import Batch

SECONDS = 1.0  # between two looks, about
MOST_STEPS_OF_GROUP = 16  # between two looks: processes do not ask one another, before each step, how late it is


class StepValues(NamedTuple):
    """What a step came to: loss and gradient norm before clipping, and the batch that gave them."""

    step: int
    loss: float
    gradient_norm: float
    batch: Batch


class Looks:
    """The steps that were not looked at yet, and the step that is to be looked at next, the same on all processes."""

    def __init__(self, lazily: bool, group: Group = ALONE) -> None:
        self.lazily, self.group = lazily, group
        self.unread: list[tuple[int, Batch]] = []
        self.losses: list[Tensor] = []
        self.norms: list[Tensor] = []
        self.count = 1  # steps from one look to the next
        self.begin = time.monotonic()

    def add(self, step: int, loss: Tensor, gradient_norm: Tensor, batch: Batch) -> None:
        """What step number `step` gave: scalars on the device."""
        self.unread.append((step, batch))
        self.losses.append(loss)
        self.norms.append(gradient_norm)

    @property
    def is_due(self) -> bool:
        is_late = self.lazily and self.group.size == 1 and time.monotonic() - self.begin > 2 * SECONDS
        return len(self.unread) >= self.count or is_late

    def look(self) -> list[StepValues]:
        """Wait for the device; the values of each step since the last look."""
        losses, norms = torch.stack(self.losses).tolist(), torch.stack(self.norms).tolist()
        values = [
            StepValues(step, loss, norm, batch)
            for (step, batch), loss, norm in zip(self.unread, losses, norms, strict=True)
        ]
        if self.lazily:
            a_step = max(1e-6, time.monotonic() - self.begin) / len(values)
            most = 2 * len(values) if self.group.size == 1 else min(2 * len(values), MOST_STEPS_OF_GROUP)
            self.count = self.group.largest(max(1, min(most, int(SECONDS / a_step))))
        self.unread, self.losses, self.norms = [], [], []
        self.go_on()
        return values

    def go_on(self) -> None:
        """Time that went by since the last look was no step's: of a validation, or of saving."""
        self.begin = time.monotonic()
