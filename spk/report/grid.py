"""A grid: systems to compare, each trained with the same seeds, under conditions alike but for what is compared.

config: conf/objectives.yaml          # what all of them begin with
seeds: [1, 2, 3]
reference: am                         # which the others are tested against
differ: [loss, curriculum]            # sections or keys in which systems may differ, and no others
systems:
  am: {loss.name: am_softmax}         # keys of the config; `config` among them for another file
  dam: {loss.name: dam_softmax}
  "{loss}_m{margin}":                 # with `each`: a system for every choice of values, which stand for the braces
    each: {loss: [am, aam], margin: [0.1, 0.2]}
    loss.name: "{loss}_softmax"
    loss.margin: "{margin}"
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from spk.config import SystemConfig, load_system, read_yaml
from spk.errors import InputError

KEYS = ("config", "seeds", "reference", "differ", "systems")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]*")  # names a folder
# What a run may have of its own without another result.
WITHOUT_EFFECT = ("seed", "train.log_every", "train.save_every", "train.keep_checkpoints")
CROPS = "crops"  # in `differ`: systems may see unequal numbers of training crops


@dataclass(frozen=True)
class System:
    """A row of the table: a config file and what is changed of it, as on a command line."""

    name: str
    config: str
    overrides: tuple[str, ...]

    def load(self, seed: int, others: tuple[str, ...] = ()) -> SystemConfig:
        """Its whole config; `others`: what the command line changes for all systems."""
        return load_system(self.config, [*self.overrides, *others, "--seed", str(seed)])


@dataclass(frozen=True)
class Grid:
    """Systems in the order of the file; `differ` as there."""

    path: str
    seeds: tuple[int, ...]
    reference: str
    differ: tuple[str, ...]
    systems: tuple[System, ...]

    def of(self, names: Sequence[str]) -> Grid:
        """With these systems and the reference alone. Raises: InputError for a name that it does not have."""
        known = [system.name for system in self.systems]
        if unknown := [name for name in names if name not in known]:
            raise InputError(f"{self.path}: no system is named {unknown[0]!r}; there are {', '.join(known)}")
        chosen = [system for system in self.systems if system.name in (*names, self.reference)]
        return dataclasses.replace(self, systems=tuple(chosen))

    def runs(self) -> list[tuple[System, int]]:
        """All pairs of a system and a seed, a seed of all systems before the next: a table is there early."""
        return [(system, seed) for seed in self.seeds for system in self.systems]


def read_grid(path: str | os.PathLike[str]) -> Grid:
    """Raises: InputError that names the file and the key for whatever is no such grid."""
    content = read_yaml(path)
    for key in content:
        if key not in KEYS:
            raise InputError(f"{path}: {key}: unknown key; there are {', '.join(KEYS)}")
    seeds = content.get("seeds", [1])
    if not isinstance(seeds, list) or not seeds or any(type(seed) is not int or seed < 0 for seed in seeds):
        raise InputError(f"{path}: seeds: {seeds!r} must be a list of whole numbers, such as [1, 2, 3]")
    if len(set(seeds)) < len(seeds):
        raise InputError(f"{path}: seeds: {seeds!r} has one of them twice; the same run would count twice")
    differ = content.get("differ", [])
    if not isinstance(differ, list) or not all(isinstance(key, str) for key in differ):
        raise InputError(f"{path}: differ: {differ!r} must be a list of sections or keys, such as [loss, curriculum]")
    if any(key.partition(".")[0] == "features" for key in differ):
        raise InputError(f"{path}: differ: features are shared by all runs; a grid for each kind, with its own --data")
    systems = read_systems(path, content)
    names = [system.name for system in systems]
    reference = content.get("reference", names[0])
    if reference not in names:
        raise InputError(f"{path}: reference: no system is named {reference!r}; there are {', '.join(names)}")
    return Grid(os.fspath(path), tuple(seeds), reference, tuple(differ), tuple(systems))


def read_systems(path: str | os.PathLike[str], content: Mapping[str, Any]) -> list[System]:
    """In the order of the file."""
    sections = content.get("systems")
    if not isinstance(sections, Mapping) or not sections:
        raise InputError(f"{path}: systems: must hold a name and its keys for each system")
    systems = []
    for name, keys in (one for section in sections.items() for one in each_choice(path, *section)):
        if not NAME.fullmatch(name):
            raise InputError(f"{path}: systems: {name!r} must be of letters, digits and . _ + = -: it names a folder")
        if name in (system.name for system in systems):
            raise InputError(f"{path}: systems: two are named {name!r}; each choice of values needs a name of its own")
        config = keys.pop("config", content.get("config"))
        if not isinstance(config, str):
            raise InputError(f"{path}: systems.{name}: has no config, and neither has the grid")
        if "seed" in keys:
            raise InputError(f"{path}: systems.{name}: seed: is the same list for all systems; it stands under seeds")
        if nested := [key for key, value in keys.items() if "." not in key and isinstance(value, Mapping)]:
            raise InputError(f"{path}: systems.{name}: {nested[0]}: give each key of it a line: {nested[0]}.name: ...")
        overrides = [word for key, value in keys.items() for word in (f"--{key}", in_yaml(value))]
        systems.append(System(name, found_from(path, config), tuple(overrides)))
    return systems


def found_from(path: str | os.PathLike[str], config: str) -> str:
    """The config file, which in a recipe's conf/grids/ is meant from the recipe's folder, wherever the grid is used."""
    if Path(config).exists():
        return config
    recipe = Path(path).resolve().parent.parent.parent
    return str(recipe / config) if (recipe / config).exists() else config


def each_choice(path: str | os.PathLike[str], name: Any, keys: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, keys) of the systems that a section stands for: one, or with `each` one for every choice of its values."""
    if not isinstance(keys or {}, Mapping):
        raise InputError(f"{path}: systems.{name}: {keys!r} must hold keys and values, such as loss.margin: 0.2")
    keys = dict(keys or {})
    lists = keys.pop("each", {})
    if not isinstance(lists, Mapping) or not all(isinstance(values, list) and values for values in lists.values()):
        raise InputError(
            f"{path}: systems.{name}.each: {lists!r} must hold lists of values, such as margin: [0.1, 0.2]"
        )
    for values in itertools.product(*lists.values()):
        chosen = dict(zip(lists, values, strict=True))
        try:
            yield str(name).format_map(chosen), {key: filled(value, chosen) for key, value in keys.items()}
        except yaml.YAMLError:
            raise InputError(f"{path}: systems.{name}: with {chosen} in its braces it is no YAML") from None
        except (AttributeError, TypeError, KeyError, IndexError, ValueError) as error:
            raise InputError(f"{path}: systems.{name}: nothing in `each` stands for {error} in braces") from None


def filled(value: Any, chosen: Mapping[str, Any]) -> Any:
    """Text with the chosen values in place of {name}; what is text with nothing else, as YAML reads it."""
    if not isinstance(value, str) or not chosen:
        return value
    text = value.format_map(chosen)
    return text if text == value else yaml.safe_load(text)


def in_yaml(value: Any) -> str:
    """On one line, as an option's value."""
    return yaml.safe_dump(value, default_flow_style=True, width=10**9).removesuffix("\n").removesuffix("\n...")


def check_conditions(grid: Grid, others: tuple[str, ...] = ()) -> dict[str, SystemConfig]:
    """{system: its whole config}, when they differ in nothing but what the grid names.

    Raises: InputError that names each system, each key and both values where they do. Unequal numbers of steps are no
    difference where all see the same number of crops.
    """
    configs = {system.name: system.load(grid.seeds[0], others) for system in grid.systems}
    reference = flattened(configs[grid.reference].as_dict())
    faults = []
    for name, config in configs.items():
        own = flattened(config.as_dict())
        differing = [key for key in sorted(own.keys() | reference.keys()) if own.get(key) != reference.get(key)]
        crops = [crops_seen(one) for one in (config, configs[grid.reference])]
        if name == grid.reference or (crops[0] == crops[1] and not crops_are_of_memory(config)):
            differing = [key for key in differing if key != "train.steps" or crops[0] is None]
        elif CROPS not in grid.differ:
            seen = " and ".join("an unknown number of" if count is None else f"{count:,}" for count in crops)
            faults.append(f"{name}: {seen} crops seen by it and by {grid.reference} ({CROPS})")
            differing = [key for key in differing if key != "train.steps"]
        faults += [
            f"{name}: {key} is {shown(own, key)}, and {shown(reference, key)} in {grid.reference}"
            for key in differing
            if not is_within(key, (*grid.differ, *WITHOUT_EFFECT))
        ]
    names = {}
    for name, config in configs.items():
        twin = names.setdefault(repr(config), name)
        if twin != name:
            raise InputError(f"{grid.path}: {twin} and {name} are the same system; what is compared must differ")
    if faults:
        raise InputError(
            f"{grid.path}: the systems would be trained or judged under unequal conditions:\n  "
            + "\n  ".join(faults)
            + "\nMake them equal, or name under `differ` what is to be compared"
        )
    return configs


def crops_are_of_memory(config: SystemConfig) -> bool:
    """Steps of as many crops as the memory holds, which differs from loss to loss."""
    return config.train.steps is not None and config.batch.size == "auto"


def crops_seen(config: SystemConfig) -> int | None:
    """Of the whole training; None where that depends on the data or on the memory there is."""
    if config.train.steps is None or config.batch.size == "auto":
        return None
    return config.train.steps * config.batch.size


def flattened(section: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{dotted key: value} of all that is no section itself."""
    result: dict[str, Any] = {}
    for key, value in section.items():
        if isinstance(value, Mapping) and value:
            result |= flattened(value, f"{prefix}{key}.")
        else:
            result[prefix + key] = value
    return result


def is_within(key: str, names: tuple[str, ...]) -> bool:
    """Is it one of these keys, or in one of these sections?"""
    return any(key == name or key.startswith(f"{name}.") for name in names)


def shown(values: Mapping[str, Any], key: str) -> str:
    return in_yaml(values[key]) if key in values else "not there"


def folder_of(exp: str | os.PathLike[str], system: System, seed: int) -> Path:
    """Where a run of the grid is."""
    return Path(exp) / f"{system.name}_seed{seed}"
