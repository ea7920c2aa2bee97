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
from spk.losses.classifier import Classifier, classifiers
from spk.losses.loss import Loss
from spk.train.partial_softmax import is_of_rows

State = dict[str, Any]  # of a training: at least {"step": ..., "loss": ..., "optimizer": ...}
Entry = dict[str, Any]  # a file of rows: its name, its first speaker and the one after its last, its digest


def rows_of(loss: Loss) -> dict[str, nn.Parameter]:
    """By name, the parameters with a row for each speaker."""
    return {
        prefix + name: row for prefix, part in classifiers(loss).items() for name, row in part.row_parameters().items()
    }


def is_sharded(loss: Loss) -> bool:
    return any(part.shard is not None for part in classifiers(loss).values())


def common_state(loss: Loss) -> list[Tensor]:
    """What of the loss's state is the same in all processes."""
    own = rows_of(loss) if is_sharded(loss) else {}
    return [value for name, value in loss.state_dict().items() if name not in own]


def save_rows(directory: Path, state: State, loss: Loss, optimizer: Optimizer) -> tuple[State, Entry]:
    """Write the rows of a sharded loss that this process holds; returns the state without them, and what to call them.

    The checkpoint is this state with all processes' entries, in any order, under "row_files".
    """
    rows = rows_of(loss)
    first, last = next(iter(classifiers(loss).values())).rows
    known = dict(state["optimizer"]["state"])
    content = {
        "weights": {name: state["loss"][name] for name in rows},
        "optimizer": {name: known.pop(number, {}) for name, number in numbers_of(rows, optimizer).items()},
    }
    path = directory / f"step-{state['step']:08d}.rows-{first}-{last}.pt"
    save(path, content)
    rest = {
        "loss": {name: value for name, value in state["loss"].items() if name not in rows},
        "optimizer": state["optimizer"] | {"state": known},
    }
    return state | rest, {"name": path.name, "first": first, "last": last, "digest": file_digest(path)}


def load_rows(directory: Path, state: State, loss: Loss, optimizer: Optimizer) -> State:
    """A checkpoint's state with the rows that this process holds in it, be they of a sharded classifier or a whole one.

    InputError when files are missing, damaged or do not fit.
    """
    rows = rows_of(loss)
    if not rows or ("row_files" not in state and not is_sharded(loss)):
        return state
    numbers = numbers_of(rows, optimizer)
    part_of_all = next(iter(classifiers(loss).values()))
    if "row_files" in state:
        parts = list(overlapping_parts(directory, state, part_of_all))
    else:
        of_all = {name: state["optimizer"]["state"].get(number, {}) for name, number in numbers.items()}
        parts = [({"weights": state["loss"], "optimizer": of_all}, slice(*part_of_all.rows))]
    if missing := [name for name in rows for part, _ in parts if name not in part["weights"]]:
        raise InputError(
            f"{directory}: the checkpoint of step {state['step']} is of another loss: it has no {missing[0]}; name "
            "another directory"
        )
    weights = {name: torch.cat([part["weights"][name][own] for part, own in parts]) for name in rows}
    known = dict(state["optimizer"]["state"])
    for name, number in numbers.items():
        known[number] = {
            key: torch.cat([part["optimizer"][name][key][own] for part, own in parts])
            if is_of_rows(value, parts[0][0]["weights"][name])
            else value
            for key, value in parts[0][0]["optimizer"][name].items()
        }
        if not known[number]:  # an optimiser that keeps nothing
            del known[number]
    return state | {"loss": state["loss"] | weights, "optimizer": state["optimizer"] | {"state": known}}


def overlapping_parts(directory: Path, state: State, classifier: Classifier) -> Iterator[tuple[State, slice]]:
    """(content of a file, which of its rows are the classifier's), in the order of speakers."""
    entries = sorted(state["row_files"], key=lambda entry: entry["first"])
    ends = [0, *(entry["last"] for entry in entries)]
    if [entry["first"] for entry in entries] != ends[:-1] or ends[-1] != classifier.num_speakers:
        raise InputError(
            f"{directory}: the checkpoint of step {state['step']} has no files with the rows of all "
            f"{classifier.num_speakers} speakers; delete the directory to begin anew"
        )
    own_first, own_last = classifier.rows
    for entry in entries:
        first, last = max(entry["first"], own_first), min(entry["last"], own_last)
        if first < last:
            yield load(directory / entry["name"]), slice(first - entry["first"], last - entry["first"])


def check_row_files(directory: Path, state: State) -> None:
    """InputError when a file that the checkpoint names is not there, or not as it was written; OSError of the disk."""
    for entry in state.get("row_files", []):
        path = directory / entry["name"]
        try:
            digest = file_digest(path)
        except FileNotFoundError:
            raise InputError(f"{path}: no such file") from None
        if digest != entry["digest"]:
            raise InputError(f"{path}: is damaged")


def remove_row_files(directory: Path) -> None:
    """Delete the files of checkpoints that are not there (any more)."""
    for path in directory.glob("step-*.rows-*.pt"):
        if not (directory / f"{path.name.split('.')[0]}.pt").exists():
            path.unlink()


def numbers_of(rows: dict[str, nn.Parameter], optimizer: Optimizer) -> dict[str, int]:
    """Under which number a state of the optimiser has each of the parameters."""
    places = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    return {name: places.index(id(row)) for name, row in rows.items()}
