"""Training batches of random crops, read by part from the arks."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from spk.data.ark import FeatureReader
from spk.data.sampler import Batch, SpeakerSampler


class CropDataset(Dataset):
    """`dataset[batch]` -> (features [B, L, F], labels [B], batch): one random crop of L frames of each utterance.

    An utterance shorter than L is repeated to that length. The crops depend on the batch alone, not on who reads it.
    """

    def __init__(self, reader: FeatureReader, num_frames: np.ndarray, labels: np.ndarray, crop_frames: int) -> None:
        self.reader = reader
        self.num_frames = np.asarray(num_frames, dtype=np.int64)
        self.labels = torch.as_tensor(labels, dtype=torch.int64)
        self.crop_frames = crop_frames

    def __getitem__(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, Batch]:
        self.reader.check_num_frames(batch.utterances, self.num_frames[batch.utterances])
        room = np.maximum(self.num_frames[batch.utterances] - self.crop_frames, 0) + 1
        starts = (batch.random().random(len(room)) * room).astype(np.int64)
        features = self.reader.crops(batch.utterances, starts, self.crop_frames)
        return torch.from_numpy(features), self.labels[batch.utterances], batch


def leave_signals_to_the_parent(worker: int) -> None:
    """A stop reaches the whole process group; the parent needs its workers until its step is done and saved."""
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, signal.SIG_IGN)


def load_batches(
    dataset: CropDataset, sampler: SpeakerSampler, *, workers: int, pin_memory: bool
) -> Iterator[tuple[torch.Tensor, torch.Tensor, Batch]]:
    """The endless stream of batches, read ahead by `workers` processes (0: in this one)."""
    return iter(
        DataLoader(
            dataset,
            sampler=sampler,
            batch_size=None,
            num_workers=workers,
            pin_memory=pin_memory,
            prefetch_factor=4 if workers else None,
            persistent_workers=workers > 0,
            worker_init_fn=leave_signals_to_the_parent,
            generator=torch.Generator(),  # the loader's own draw must not move the network's generator
        )
    )
