"""What a config may leave to the machine, settled when a run begins, recorded, and kept when it goes on elsewhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

from spk.config import SystemConfig
from spk.train.parallel import processes_of_this_machine


def settle(config: SystemConfig, begun: Mapping[str, Any] | None, device: torch.device) -> None:
    """Fill in train.threads 0 and train.precision auto, as recorded in `begun` (the config of a run that goes on).

    Of batch.size auto only what is recorded: to find it takes the network (`batch_size.py`). With it train.resident
    auto becomes what the run was begun with.
    """
    if config.train.threads == 0:
        config.train.threads = begun["train"]["threads"] if begun else num_cores()
    if config.train.precision == "auto":
        by_device = "bfloat16" if device.type == "cuda" else "float32"
        config.train.precision = begun["train"]["precision"] if begun else by_device
    if config.batch.size == "auto" and begun:
        config.batch.size = begun["batch"]["size"]
        if config.train.resident == "auto":  # features may not fit beside a batch that was found without them
            config.train.resident = begun["train"].get("resident", False)


def threads_here(config: SystemConfig) -> int:
    """train.threads; of a process that trains with others on its machine, no more than its part of the cores."""
    processes = processes_of_this_machine()
    return config.train.threads if processes == 1 else min(config.train.threads, max(1, num_cores() // processes))


def num_cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))
