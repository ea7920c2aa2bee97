"""Training batches of random crops, read by part from the arks or from recordings."""

from __future__ import annotations

import contextlib
import signal
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from spk.data.ark import FeatureReader
from spk.data.coded_crops import CodedCrops, pinned, read_codes
from spk.data.resident import Places, ResidentArks
from spk.data.sampler import Batch, SpeakerSampler
from spk.data.share import WHOLE, Share
from spk.errors import InputError

BATCHES_ASKED_FOR = 8  # beyond those gathered: their bytes are on the way from the disk
BATCHES_GATHERED = 2


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

    def __getitem__(self, batch: Batch) -> tuple[Any, torch.Tensor, Batch] | InputError:
        utterances, starts = self.cuts(batch)
        try:
            self.reader.check_num_frames(utterances, self.num_frames[utterances])
            crops = self.read(utterances, starts)
        except InputError as error:
            return error
        return crops, self.labels[batch.utterances], batch

    def cuts(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """Of the share of a batch, the utterances and the first frames of their crops: int64 [B]."""
        rows = self.share.rows(len(batch.utterances))
        return batch.utterances[rows], draw_starts(batch, self.num_frames, self.crop_frames)[rows]

    def read(self, utterances: np.ndarray, starts: np.ndarray) -> Any:
        """What the item has of the crops."""
        return torch.from_numpy(self.reader.crops(utterances, starts, self.crop_frames))


class CodedCropDataset(CropDataset):
    """A CropDataset whose items have a list of CodedCrops for features: `decode_crops` makes these of them."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.reader.read_only_parts()

    def __getitem__(self, batch: Batch) -> tuple[Any, torch.Tensor, Batch] | InputError:
        self.will_need(batch)
        return super().__getitem__(batch)

    def read(self, utterances: np.ndarray, starts: np.ndarray) -> list[CodedCrops]:
        return read_codes(self.reader, utterances, starts, self.crop_frames)

    def will_need(self, batch: Batch) -> None:
        """Let the system read what the batch needs: later it will be there."""
        utterances, starts = self.cuts(batch)
        self.reader.will_need(utterances, starts, self.crop_frames, self.num_frames[utterances])


class ResidentCropDataset(CropDataset):
    """A CropDataset whose items have a list of Places for features, of which `store.crops_at` makes these.

    The first item loads the store.
    """

    def __init__(self, store: ResidentArks, labels: np.ndarray, crop_frames: int, share: Share = WHOLE) -> None:
        super().__init__(store.reader, store.num_frames, labels, crop_frames, share)
        self.store = store

    def read(self, utterances: np.ndarray, starts: np.ndarray) -> list[Places]:
        return self.store.places(utterances, starts)


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

    Where crops are on the device already there is nothing to read ahead, and no process is started. Codes are read
    ahead in this process, too, by threads.
    An InputError that is an item is raised: raised in another process it would lose its form.
    """
    if isinstance(dataset, ResidentCropDataset):
        workers = 0
    if isinstance(dataset, CodedCropDataset) and workers == 0:
        return raised(read_ahead(dataset, sampler, pin_memory))
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


def read_ahead(dataset: CodedCropDataset, sampler: SpeakerSampler, pin_memory: bool) -> Iterator[Any]:
    """The dataset's items: one thread asks for the bytes of coming batches, another gathers those that have come.

    Batches are drawn here, by the thread that takes items: the sampler is no affair of several.
    """

    def item(batch: Batch) -> Any:
        found = CropDataset.__getitem__(dataset, batch)
        if not pin_memory or isinstance(found, InputError):
            return found
        crops, labels, batch = found
        return pinned(crops), labels.pin_memory(), batch

    on_device = {"initializer": torch.cuda.set_device, "initargs": (torch.cuda.current_device(),)} if pin_memory else {}
    with ThreadPoolExecutor(1) as asking, ThreadPoolExecutor(1, **on_device) as gathering:
        asked: deque[Batch] = deque()
        gathered: deque[Future] = deque()
        try:
            while True:
                while len(asked) < BATCHES_ASKED_FOR:
                    asked.append(next(sampler))
                    asking.submit(dataset.will_need, asked[-1])
                while len(gathered) < BATCHES_GATHERED:
                    gathered.append(gathering.submit(item, asked.popleft()))
                    asked.append(next(sampler))
                    asking.submit(dataset.will_need, asked[-1])
                yield gathered.popleft().result()
        finally:
            for pool in (asking, gathering):
                pool.shutdown(wait=False, cancel_futures=True)


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
