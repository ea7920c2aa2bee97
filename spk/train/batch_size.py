"""`batch.size: auto`: the largest batch whose training step fits the memory of the device.

Steps on noise are tried with a copy of what will be trained; weights and random generators stay as they are, so that a
run whose size was found equals one that was given the same number.
"""

from __future__ import annotations

import bisect
import copy
import gc
import logging
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from spk.config import SystemConfig
from spk.data.share import Share
from spk.errors import InputError
from spk.losses import LOSSES
from spk.losses.loss import Loss
from spk.nets.embedder import Embedder
from spk.train import memory
from spk.train.checkpoint import RandomState
from spk.train.optimizers import OPTIMIZERS
from spk.train.step import TrainingStep, least_speakers, place

log = logging.getLogger(__name__)
# Of the memory that is free: the rest is for validation, batches read ahead, fragments and, on the CPU, other programs.
CUDA_SHARE, CPU_SHARE = 0.9, 0.8
MANY_SPEAKERS = 16  # from here on a batch has a multiple of SPEAKERS_MULTIPLE
SPEAKERS_MULTIPLE = 8
GIB = 2**30


def find_batch_size(
    config: SystemConfig, embedder: Embedder, loss: Loss, labels: np.ndarray, num_bins: int, device: torch.device
) -> tuple[int, str]:
    """(crops of a batch, how they were found) for training speakers `labels` [U].

    Raises: InputError when not even the smallest batch fits, or when there are too few speakers for one.
    """
    batch = config.batch
    usable = count_usable(labels, 1 if batch.reuse_utterances else batch.utterances_per_speaker)
    bound = min(usable, batch.num_speakers)
    least = max(2, least_speakers(config))
    sizes = [count * batch.utterances_per_speaker for count in speaker_counts(bound) if count >= least]
    if not sizes:
        raise InputError(
            f"batch.size: auto: a batch needs {least} distinct speakers ({batch.utterances_per_speaker} utterances "
            f"each), but {usable} can be used and batch.most is {batch.most}"
        )
    random = RandomState()
    before = random.state_dict()
    trial = Trial(config, embedder, loss, num_bins, device)
    room = CudaRoom(trial.step, device) if device.type == "cuda" else CpuRoom(trial.step)
    try:
        size = largest(sizes, room.fits)
    finally:
        room.close()
        random.load_state_dict(before)
    where = f"{room.share:.0%} of the {room.free / GIB:.2f} GiB that were free on {device}"
    if size is None:
        raise InputError(
            f"batch.size: auto: not even {sizes[0]} crops of {batch.crop_frames} frames fit {where}; "
            "lower batch.crop_frames, or take a smaller network"
        )
    num_speakers = size // batch.utterances_per_speaker
    LOSSES[config.loss["name"]].check_batch(num_speakers, batch.utterances_per_speaker, config.loss)
    limit = f"{usable} speakers can be used" if bound == usable else f"batch.most is {batch.most}"
    how = (
        f"{size} crops, {num_speakers} speakers x {batch.utterances_per_speaker}: "
        + (f"all that is allowed, as {limit}, and it fits" if size == sizes[-1] else "the most that fit")
        + f" {where}; tried {', '.join(map(str, trial.tried))}"
    )
    log.info("batch.size: auto: %s", how)
    return size, how


def count_usable(labels: np.ndarray, least_utterances: int) -> int:
    """Speakers with so many utterances or more."""
    return int(np.count_nonzero(np.bincount(labels) >= least_utterances))


def speaker_counts(most: int) -> list[int]:
    """The numbers of speakers that a batch may have: each from 2 on, from MANY_SPEAKERS on multiples only."""
    return [*range(2, min(most + 1, MANY_SPEAKERS)), *range(MANY_SPEAKERS, most + 1, SPEAKERS_MULTIPLE)]


def largest(sizes: Sequence[int], fits: Callable[[int], bool]) -> int | None:
    """The largest of the ascending `sizes` that fits, None when none does.

    Asks for no more than twice what is known to fit (or the next size), until one does not; then halves the interval.
    """
    fitting, too_large = -1, len(sizes)
    while too_large - fitting > 1:
        if too_large < len(sizes):
            asked = (fitting + too_large) // 2
        elif fitting < 0:
            asked = 0
        else:
            asked = max(fitting + 1, bisect.bisect_right(sizes, 2 * sizes[fitting]) - 1)
        if fits(sizes[asked]):
            fitting = asked
        else:
            too_large = asked
    return sizes[fitting] if fitting >= 0 else None


class Trial:
    """A copy of what will be trained, on the device, that makes training steps on batches of noise."""

    def __init__(
        self, config: SystemConfig, embedder: Embedder, loss: Loss, num_bins: int, device: torch.device
    ) -> None:
        self.config, self.num_bins, self.device = config, num_bins, device
        # Not compiled, which would take minutes for each size: compiled networks need less memory, not more.
        self.embedder = place(copy.deepcopy(embedder), device).train()
        self.loss = copy.deepcopy(loss).to(device)
        self.parameters = [*self.embedder.parameters(), *self.loss.parameters()]
        self.optimizer = OPTIMIZERS.build("optimizer", config.optimizer, parameters=self.parameters)
        self.embedder.network.recomputes = config.train.checkpoint_activations
        share = Share(utterances_per_speaker=config.batch.utterances_per_speaker)
        self.training_step = TrainingStep(
            self.embedder, self.loss, config.train.precision, config.train.accumulate, share=share
        )
        self.tried: list[int] = []  # crops, of each size that a step was made with

    def step(self, size: int) -> None:
        """As Trainer.train_step. The first one is made twice: only then the optimiser has all that it keeps."""
        self.tried.append(size)
        batch = self.config.batch
        for _ in range(1 if self.optimizer.state else 2):
            features = torch.randn(size, batch.crop_frames, self.num_bins, device=self.device)
            speakers = torch.arange(size // batch.utterances_per_speaker, device=self.device)
            labels = speakers.repeat_interleave(batch.utterances_per_speaker)
            self.optimizer.zero_grad(set_to_none=True)
            self.training_step.forward_backward(features, labels)
            nn.utils.clip_grad_norm_(self.parameters, 1.0)
            self.optimizer.step()


class CudaRoom:
    """Does a step fit the device? The allocator is held to its share and says when that is not enough."""

    share = CUDA_SHARE

    def __init__(self, step: Callable[[int], None], device: torch.device) -> None:
        self.step, self.device = step, device
        free, total = torch.cuda.mem_get_info(device)
        held = torch.cuda.memory_reserved(device)
        self.free = free
        torch.cuda.set_per_process_memory_fraction((held + self.share * free) / total, device)

    def fits(self, size: int) -> bool:
        try:
            self.step(size)
            torch.cuda.synchronize(self.device)
            does_fit = True
        except torch.OutOfMemoryError:
            does_fit = False
        self.give_back()
        return does_fit

    def give_back(self) -> None:
        gc.collect()
        torch.cuda.empty_cache()

    def close(self) -> None:
        torch.cuda.set_per_process_memory_fraction(1.0, self.device)
        self.give_back()


class CpuRoom:
    """Does a step fit main memory? Too large a step would get the process killed, so none is tried that is foreseen so.

    The peak of resident memory grows with the batch in a straight line; the two largest steps so far give it.
    """

    share = CPU_SHARE

    def __init__(self, step: Callable[[int], None]) -> None:
        self.step = step
        memory.give_back()
        self.free = memory.available()
        self.limit = memory.resident() + self.share * self.free
        self.peaks: dict[int, int] = {}  # crops -> bytes

    def fits(self, size: int) -> bool:
        if self.foreseen(size) > self.limit:
            return False
        memory.give_back()
        memory.forget_peak()
        try:
            self.step(size)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
                raise
            return False
        self.peaks[size] = memory.peak_resident()
        return self.peaks[size] <= self.limit

    def foreseen(self, size: int) -> float:
        """The peak in bytes; 0, not known, before two steps were made."""
        if len(self.peaks) < 2:
            return 0
        (small, less), (large, more) = sorted(self.peaks.items())[-2:]
        return more + max(0, more - less) / (large - small) * (size - large)

    def close(self) -> None:
        memory.give_back()
