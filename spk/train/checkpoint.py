"""Checkpoints: everything that training needs to go on as if it had never stopped, in one whole file."""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from spk.data.torch_files import load, save
from spk.errors import InputError
from spk.train.shard_files import check_row_files, remove_row_files

log = logging.getLogger(__name__)
PATTERN = re.compile(r"step-(\d+)\.pt")


def save_checkpoint(directory: Path, step: int, state: Mapping[str, Any], keep: int) -> Path:
    """Write step-N.pt and delete all but the last `keep`, with their files of rows.

    A later one is none of them: `load_latest` went back past it, for it is damaged.
    """
    path = path_of(directory, step)
    save(path, state)
    found = list_checkpoints(directory)
    kept = [old for number, old in found if number <= step][-keep:]
    for _, old in found:
        if old not in kept:
            old.unlink()
    remove_row_files(directory)
    return path


def path_of(directory: Path, step: int) -> Path:
    return directory / f"step-{step:08d}.pt"


def load_step(directory: Path, step: int) -> dict[str, Any]:
    """The checkpoint of that step, which another process has found good."""
    path = path_of(directory, step)
    if not path.exists():
        raise InputError(f"{path}: no such file here; the machines of a training need one directory that all see")
    return load(path)


def list_checkpoints(directory: Path) -> list[tuple[int, Path]]:
    """(step, path) of the checkpoints there are, oldest first."""
    found = [(PATTERN.fullmatch(path.name), path) for path in directory.glob("step-*.pt")]
    return sorted((int(match[1]), path) for match, path in found if match)


def load_latest(directory: Path) -> dict[str, Any] | None:
    """The newest checkpoint that can be read, or None when there is none. A damaged one is passed over, and said."""
    for stale in directory.glob(".step-*.partial"):
        stale.unlink()  # of a run that was killed while it wrote
    remove_row_files(directory)
    found = list_checkpoints(directory)
    for _, path in reversed(found):
        try:
            state = load(path)
            check_row_files(directory, state)
            return state
        except InputError as error:
            log.warning("%s; going back to the checkpoint before it", error)
    if found:
        raise InputError(f"{directory}: no checkpoint there can be read; delete the directory to begin anew")
    return None


class RandomState:
    """The generators that a network may draw from: torch's (the CPU's and this process's GPU's) and Python's."""

    def state_dict(self) -> dict[str, Any]:
        cuda = [torch.cuda.get_rng_state()] if torch.cuda.is_available() else []
        return {"torch": torch.get_rng_state(), "cuda": cuda, "python": random.getstate()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        torch.set_rng_state(state["torch"])
        if state["cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state(state["cuda"][0])
        version, internal, gauss = state["python"]
        random.setstate((version, tuple(internal), gauss))
