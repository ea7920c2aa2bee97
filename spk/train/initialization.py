"""`init_from`: a network that starts from another system's, its input normalisation included. The loss starts anew."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spk.config import SystemConfig, split_online
from spk.data.torch_files import load
from spk.errors import InputError
from spk.nets.embedder import Embedder

log = logging.getLogger(__name__)
SECTIONS = ("features", "normalization", "network")  # of both configs: these must agree


def initial_file(init_from: str | os.PathLike[str]) -> Path:
    """The file of weights that an experiment directory, or the file itself, stands for."""
    path = Path(init_from)
    return path if path.suffix == ".pt" and not path.is_dir() else path / "final.pt"


def read_initial(config: SystemConfig) -> dict[str, Any]:
    """What `initial_file` holds, once its system is seen to be one whose network `config` can start from.

    Raises InputError that names each key of SECTIONS that differs, with both values.
    """
    path = initial_file(config.init_from)
    try:
        saved = load(path)
    except InputError as error:
        raise InputError(f"init_from: {error}") from None
    if not {"config", "num_bins", "step", "embedder"} <= saved.keys():
        raise InputError(f"init_from: {path}: is no final.pt of a trained system")
    if different := [
        text
        for name in SECTIONS
        for text in differences(name, split_online(saved["config"][name])[0], vars(config)[name])
    ]:
        raise InputError(
            f"init_from: {path}: its network does not fit this system: {'; '.join(different)}; "
            "make them equal, or start from another system"
        )
    return saved


def differences(key: str, there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """'network.channels is 0.5 there, 1.0 here' for each value that differs; of classes that differ, only the names.

    A key that the other system's config lacks came after it, with a default that changed nothing.
    """
    if there.get("name") != here.get("name"):
        return [f"{key}.name is {there.get('name')} there, {here.get('name')} here"]
    different = []
    for name in there.keys() | here.keys():
        old, new = there.get(name, here.get(name)), here.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            different += differences(f"{key}.{name}", old, new)
        elif old != new:
            different.append(f"{key}.{name} is {old} there, {new} here")
    return sorted(different)


def initialize(embedder: Embedder, saved: Mapping[str, Any], num_bins: int, source: str) -> None:
    """Put the weights that `read_initial` read into the embedder. InputError when they are of another shape."""
    path = initial_file(source)
    if saved["num_bins"] != num_bins:
        raise InputError(
            f"init_from: {path}: its network does not fit these features: num_bins is {saved['num_bins']} there, "
            f"{num_bins} here"
        )
    try:
        embedder.load_state_dict(saved["embedder"])
    except RuntimeError as error:
        lines = "; ".join(line.strip() for line in str(error).splitlines()[1:])
        raise InputError(f"init_from: {path}: its network does not fit this system: {lines}") from None
    log.info("starting from the network of %s, its step %d", path, saved["step"])
