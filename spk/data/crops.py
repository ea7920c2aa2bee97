"""Training batches of random crops, read by part from the arks or from recordings."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from spk.data.ark import FeatureReader
from spk.data.sampler import Batch, SpeakerSampler
from spk.data.share import WHOLE, Share
from spk.errors import InputError


class CropDataset(Dataset):
    """`dataset[batch]` -> (features [B, L, F], labels [B], batch): one random crop of L frames of each utterance.

    An utterance shorter than L is repeated to that length. The crops depend on the batch alone, not on who reads it.
    With a `share`, features are those of its crops only; labels remain the whole batch's.
    An utterance that cannot be read makes the item an InputError.
    """

    def __init__(
        self,
        reader: FeatureReader,
        num_frames: np.ndarray,
        labels: np.ndarray,
        crop_frames: int,
        share: Share = WHOLE,
    ) -> None:
        self.reader = reader
        self.num_frames = np.asarray(num_frames, dtype=np.int64)
        self.labels = torch.as_tensor(labels, dtype=torch.int64)
        self.crop_frames = crop_frames
        self.share = share

    def __getitem__(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, Batch] | InputError:
        rows = self.share.rows(len(batch.utterances))
        utterances = batch.utterances[rows]
        try:
            self.reader.check_num_frames(utterances, self.num_frames[utterances])
            starts = draw_starts(batch, self.num_frames, self.crop_frames)[rows]
            features = self.reader.crops(utterances, starts, self.crop_frames)
        except InputError as error:
            return error
        return torch.from_numpy(features), self.labels[batch.utterances], batch


def draw_starts(batch: Batch, num_frames: np.ndarray, crop_frames: int) -> np.ndarray:
    """The first frame of each of the batch's crops, anywhere where one fits; 0 in a shorter utterance."""
    room = np.maximum(num_frames[batch.utterances] - crop_frames, 0) + 1
    return (batch.random().random(len(room)) * room).astype(np.int64)


def leave_signals_to_the_parent(worker: int) -> None:
    """A stop reaches the whole process group; the parent needs its workers until its step is done and saved."""
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, signal.SIG_IGN)


def load_batches(
    dataset: Dataset, sampler: SpeakerSampler, *, workers: int, pin_memory: bool
) -> Iterator[tuple[Any, torch.Tensor, Batch]]:
    """The endless stream of the dataset's items for batches, read ahead by `workers` processes (0: in this one).

    An InputError that is an item is raised: raised in another process it would lose its form.
    """
    loader = DataLoader(
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
    return raised(iter(loader))


def raised(items: Iterator[Any]) -> Iterator[Any]:
    try:
        while True:
            with said_when_a_reader_dies():
                item = next(items, None)
            if item is None:
                return
            if isinstance(item, InputError):
                raise item
            yield item
    finally:
        del items  # and with it the processes, which the traceback of an error would keep


@contextlib.contextmanager
def said_when_a_reader_dies() -> Iterator[None]:
    """A process that reads ahead was killed: what it was handing over just then is said in the words of torch."""
    try:
        yield
    except (ConnectionError, EOFError) as error:
        raise RuntimeError(f"DataLoader worker is gone: {str(error) or 'nothing came'}") from None
