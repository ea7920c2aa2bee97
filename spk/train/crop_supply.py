"""Where the crops of a training on arks come from: the arks, the arks as a stream of codes, or the device itself."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from spk.config import SystemConfig
from spk.data.coded_crops import decode_crops
from spk.data.crops import CodedCropDataset, CropDataset, ResidentCropDataset
from spk.data.resident import ResidentArks, in_bytes
from spk.data.share import WHOLE, Share
from spk.errors import InputError
from spk.train import memory
from spk.train.parallel import processes_of_this_machine
from spk.train.training_data import Utterances

log = logging.getLogger(__name__)
RESERVE = 16 * 2**30  # bytes left free for the network by train.resident: auto; half of what is free where that is less


def open_crops(
    config: SystemConfig, training: Utterances, device: torch.device, share: Share = WHOLE
) -> tuple[CropDataset, Callable[[Any], Tensor]]:
    """What reads the crops of a batch, and what makes features on the device of what it has read.

    Features are the same bits whichever it is. Raises InputError where train.resident: true does not fit.
    """
    reader, num_frames, labels = training.reader, training.num_frames, training.labels
    crop_frames = config.batch.crop_frames
    store, what_fits = resident_store(config, training, device)
    if what_fits:
        log.info("train.resident: %s", what_fits)
    if store is not None:
        return ResidentCropDataset(store, labels, crop_frames, share), lambda crops: store.crops_at(crops, crop_frames)
    if device.type == "cuda":
        dataset = CodedCropDataset(reader, num_frames, labels, crop_frames, share)
        return dataset, lambda crops: decode_crops(crops, device)
    dataset = CropDataset(reader, num_frames, labels, crop_frames, share)
    return dataset, lambda features: features.to(device, non_blocking=True)


def resident_store(config: SystemConfig, training: Utterances, device: torch.device) -> tuple[ResidentArks | None, str]:
    """The store, not loaded yet, when features are to lie on the device; and why, or why not, where it was a question.

    Raises InputError where train.resident: true does not fit.
    """
    wanted = config.train.resident
    if config.online or wanted is False or (wanted == "auto" and device.type != "cuda"):
        return None, ""
    store = ResidentArks(training.reader, training.num_frames, device)
    free = free_bytes(device)
    reserve = min(RESERVE, free // 2) if wanted == "auto" else 0
    sizes = f"{in_bytes(store.num_bytes)} of features, {in_bytes(free)} free on {device}"
    if store.num_bytes <= free - reserve:
        return store, f"{sizes}: they are held there"
    if wanted == "auto":
        return None, f"{sizes}, {in_bytes(reserve)} of it for the network: they are read as they are needed"
    raise InputError(
        f"train.resident: {sizes}: they do not fit; set it to auto or false, or compress them more "
        "(steps/make_feats --compress)"
    )


def free_bytes(device: torch.device) -> int:
    """What this process may take; of main memory the part that is left to each process of its machine."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return memory.available() // processes_of_this_machine()


@contextlib.contextmanager
def room_for_resident(config: SystemConfig, training: Utterances, device: torch.device) -> Iterator[None]:
    """While it lasts the device has as much memory taken as features will take: for the search for a batch size."""
    store = resident_store(config, training, device)[0]
    if store is None:
        yield
        return
    taken = torch.ones(store.num_bytes, dtype=torch.uint8, device=device)  # main memory is taken when it is written
    try:
        yield
    finally:
        del taken
        torch.cuda.empty_cache()
