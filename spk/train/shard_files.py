"""What a checkpoint keeps of a sharded classifier: a file of each process's rows, for any number of them to read back.

A file holds the rows of speakers [first, last): the weights, and what the optimiser keeps for each of them. The
checkpoint itself is written when all of them are there, names them, and has everything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from spk.data.files import file_digest
from spk.data.torch_files import load, save
from spk.errors import InputError
from spk.losses.classifier import classifiers
from spk.losses.loss import Loss
from spk.losses.shard import Shard
from spk.train.partial_softmax import is_of_rows

State = dict[str, Any]  # of a training: at least {"loss": ..., "optimizer": ...}


def sharded_rows(loss: Loss) -> dict[str, nn.Parameter]:
    """By name, the parameters that hold this process's speakers alone."""
    return {
        prefix + name: row
        for prefix, part in classifiers(loss).items()
        if part.shard is not None
        for name, row in part.row_parameters().items()
    }


def common_state(loss: Loss) -> list[Tensor]:
    """What of the loss's state is the same in all processes."""
    own = sharded_rows(loss)
    return [value for name, value in loss.state_dict().items() if name not in own]


def save_rows(directory: Path, step: int, state: State, loss: Loss, optimizer: Optimizer) -> State:
    """Write the rows of this process to a file; returns the state without them, which names the files of all.

    All processes of the shard's group call this alike. Without a shard it does nothing.
    """
    rows = sharded_rows(loss)
    if not rows:
        return state
    shard = shard_of(loss)
    known = dict(state["optimizer"]["state"])
    content = {
        "weights": {name: state["loss"][name] for name in rows},
        "optimizer": {name: known.pop(number, {}) for name, number in numbers_of(rows, optimizer).items()},
    }
    path = directory / f"step-{step:08d}.rows-{shard.first}-{shard.last}.pt"
    save(path, content)
    entry = {"name": path.name, "first": shard.first, "last": shard.last, "digest": file_digest(path)}
    return state | {
        "loss": {name: value for name, value in state["loss"].items() if name not in rows},
        "optimizer": state["optimizer"] | {"state": known},
        "row_files": shard.group.gather_objects(entry),
    }


def load_rows(directory: Path, state: State, loss: Loss, optimizer: Optimizer) -> State:
    """The state with the rows of this process in it. InputError when files are missing, damaged or do not fit."""
    rows = sharded_rows(loss)
    if not rows:
        return state
    shard = shard_of(loss)
    parts = list(overlapping_parts(directory, state, shard))
    numbers = numbers_of(rows, optimizer)
    known = dict(state["optimizer"]["state"])
    for name in rows:
        known[numbers[name]] = {
            key: torch.cat([part["optimizer"][name][key][own] for part, own in parts])
            if is_of_rows(value, parts[0][0]["weights"][name])
            else value
            for key, value in parts[0][0]["optimizer"][name].items()
        }
        if not known[numbers[name]]:  # no step was made with it
            del known[numbers[name]]
    weights = {name: torch.cat([part["weights"][name][own] for part, own in parts]) for name in rows}
    return state | {"loss": state["loss"] | weights, "optimizer": state["optimizer"] | {"state": known}}


def overlapping_parts(directory: Path, state: State, shard: Shard) -> Iterator[tuple[State, slice]]:
    """(content of a file, which of its rows are this process's), in the order of speakers."""
    entries = sorted(state.get("row_files", []), key=lambda entry: entry["first"])
    ends = [0, *(entry["last"] for entry in entries)]
    if [entry["first"] for entry in entries] != ends[:-1] or ends[-1] != shard.num_speakers:
        raise InputError(
            f"{directory}: the checkpoint of step {state['step']} has no files with the rows of all "
            f"{shard.num_speakers} speakers; delete the directory to begin anew"
        )
    for entry in entries:
        first, last = max(entry["first"], shard.first), min(entry["last"], shard.last)
        if first < last:
            yield load(directory / entry["name"]), slice(first - entry["first"], last - entry["first"])


def check_row_files(directory: Path, state: State) -> None:
    """InputError when a file that the checkpoint names is not there, or not as it was written."""
    for entry in state.get("row_files", []):
        path = directory / entry["name"]
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        if file_digest(path) != entry["digest"]:
            raise InputError(f"{path}: is damaged")


def remove_row_files(directory: Path) -> None:
    """Delete the files of checkpoints that are not there (any more)."""
    for path in directory.glob("step-*.rows-*.pt"):
        if not (directory / f"{path.name.split('.')[0]}.pt").exists():
            path.unlink()


def shard_of(loss: Loss) -> Shard:
    return next(part.shard for part in classifiers(loss).values() if part.shard is not None)


def numbers_of(rows: dict[str, nn.Parameter], optimizer: Optimizer) -> dict[str, int]:
    """Under which number a state of the optimiser has each of the parameters."""
    places = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    return {name: places.index(id(row)) for name, row in rows.items()}
