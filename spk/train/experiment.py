"""An experiment directory: its config, and where its numbers come from."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

import spk
from spk.config import AUGMENTATION_KINDS, SystemConfig, make_system, read_yaml
from spk.data.data_dir import read_table
from spk.data.files import file_digest, read_json, whole_file, write_json
from spk.errors import InputError
from spk.train.initialization import initial_file
from spk.train.training_data import NOISE_FILES, training_files

log = logging.getLogger(__name__)
# What may change between a run and its resumption: it alters nothing of the result.
FREE_TO_CHANGE = (
    *("train.workers", "train.resident", "train.checkpoint_activations", "train.shard_classifier"),
    *("train.log_every", "train.save_every", "train.keep_checkpoints"),
    *("evaluation.crops", "evaluation.crop_frames"),
    *(
        "init_from",
        *(f"augmentation.{kind}" for kind in AUGMENTATION_KINDS),
    ),  # where files lie; their digests must stay
)
# What no checkpoint goes on with when it changes, though it be accepted: other weights, other speakers, other draws.
# Nor does one with another objective: `is_fixed`.
FIXED = (
    *("features", "network", "normalization", "seed", "optimizer.name", "batch.utterances_per_speaker"),
    *("validation.speakers", "validation.utterances_per_speaker", "validation.select", "augmentation.speeds"),
    "evaluation.backend",  # validation's, too: its EERs would not compare with the best one before
)
PLACES = ("feats.scp", "wav.scp")  # tables of where files are
RECORDINGS_LOOKED_AT = 2000  # of a directory of noises, at most
BEGINNING = 2**16  # bytes of each


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{a: {b: 1}} -> {"a.b": 1}"""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def config_differences(old: Mapping[str, Any], new: Mapping[str, Any], source: str) -> dict[str, str]:
    """{"loss.margin": "loss.margin: 0.2 -> 0.3"} for each value that differs and matters to the result.

    A key that `old` lacks came after it, with a default that changed nothing. `source` says where they are from.
    """
    old, new = (flatten(make_system(content, source).as_dict()) for content in (old, new))
    names = sorted((old.keys() | new.keys()) - set(FREE_TO_CHANGE))
    return {name: f"{name}: {old.get(name)} -> {new.get(name)}" for name in names if old.get(name) != new.get(name)}


def read_config(exp_dir: Path) -> dict[str, Any] | None:
    path = exp_dir / "config.yaml"
    return read_yaml(path) if path.exists() else None


def read_run(exp_dir: Path) -> dict[str, Any] | None:
    path = exp_dir / "run.json"
    return read_json(path) if path.exists() else None


def data_digests(data_dir: Path, names: Iterable[str]) -> dict[str, str]:
    """Digests of the data directory's files; of places without the folders, so that a run may move with its data."""
    return {name: (places_digest if name in PLACES else file_digest)(data_dir / name) for name in names}


def places_digest(path: Path) -> str:
    places = (f"{key} {Path(place).name}\n" for key, place in read_table(path).items())
    return hashlib.sha256("".join(places).encode("utf-8", "surrogateescape")).hexdigest()


def noise_digests(folder: Path) -> dict[str, str]:
    """Digests of what is drawn from in a directory of noises: of its tables, and of the recordings."""
    digests = data_digests(folder, [name for name in NOISE_FILES if (folder / name).exists()])
    if "wav.scp" in digests:
        digests["recordings"] = recordings_digest(list(read_table(folder / "wav.scp").values()))
    return digests


def recordings_digest(paths: list[str]) -> str:
    """Of the sizes and beginnings of files, spread over all where they are many; one that cannot be read counts, too.

    So other audio under the same names is noticed, wherever it lies, in less than a second.
    """

    def beginning(path: str) -> bytes:
        try:
            with Path(path).open("rb") as file:
                return hashlib.sha256(b"%d " % os.fstat(file.fileno()).st_size + file.read(BEGINNING)).digest()
        except OSError:
            return b"unreadable"

    paths = paths[:: max(1, -(-len(paths) // RECORDINGS_LOOKED_AT))]
    with ThreadPoolExecutor(8) as pool:  # a network disk answers several questions in the time of one
        return hashlib.sha256(b"".join(pool.map(beginning, paths, chunksize=64))).hexdigest()


def open_experiment(
    exp_dir: Path,
    config: SystemConfig,
    data_dir: Path,
    overrides: list[str],
    source: str,
    found: Mapping[str, str] | None = None,
    accept_changes: bool = False,
) -> list[str]:
    """Write config.yaml and run.json, or check that they say the same as now.

    `found` tells how values that the config left to the machine were found: {"batch.size": "48 crops, ..."}.
    Raises InputError when the directory was begun with another config, other data, other noises or another initial
    network, with the difference. `accept_changes`: a config may differ where a checkpoint can go on all the same; the
    differences are returned, and written by `record_changes`.
    """
    begun = read_config(exp_dir)
    digests = data_digests(data_dir, training_files(data_dir, config.online))
    folders = config.augmentation.data_dirs
    noises = {kind: noise_digests(Path(folder)) for kind, folder in folders.items()}
    initial = describe_initial(config)
    if begun is None:
        run = describe_run(data_dir, digests, overrides, source)
        begun_with = {"init_from": initial, "noises": noises, "found": dict(found or {})}
        write_json(exp_dir / "run.json", {**run, **begun_with})
        with whole_file(exp_dir / "config.yaml") as file:
            yaml.safe_dump(config.as_dict(), file, sort_keys=False)
        return []
    run = read_json(exp_dir / "run.json")
    if "imported" in run:
        raise InputError(
            f"{exp_dir} holds the network imported from {run['imported']['file']}; name another directory, "
            f"and to go on from that network, --init-from {exp_dir}"
        )
    changes = check_same_config(exp_dir, begun, config, accept_changes)
    recorded = run["data_digests"]
    if changed := sorted(name for name in recorded.keys() | digests.keys() if recorded.get(name) != digests.get(name)):
        raise InputError(
            f"{exp_dir} was begun with other data ({', '.join(changed)} of {data_dir} changed since); "
            "name another directory, or delete this one"
        )
    recorded = run.get("noises", {})
    for kind in sorted(recorded.keys() | noises.keys()):
        if kind not in recorded or kind not in noises:
            raise InputError(
                f"{exp_dir} was begun {'with' if kind in recorded else 'without'} augmentation.{kind}; "
                "name another directory, or delete this one"
            )
        was, now = recorded[kind], noises[kind]
        if changed := sorted(name for name in was.keys() | now.keys() if was.get(name) != now.get(name)):
            raise InputError(
                f"{exp_dir} was begun with other recordings in augmentation.{kind} ({', '.join(changed)} of "
                f"{folders[kind]} changed since); name another directory, or delete this one"
            )
    before = run.get("init_from")
    if (before and before["digest"]) != (initial and initial["digest"]):
        was, now = (one["file"] if one else "weights drawn with the seed" for one in (before, initial))
        raise InputError(
            f"{exp_dir} was begun with another initial network (init_from: {was} then, {now} now"
            f"{', a file that changed since' if was == now else ''}); name another directory, or delete this one"
        )
    return changes


def check_same_config(
    exp_dir: Path, begun: Mapping[str, Any], config: SystemConfig, accept_changes: bool = False
) -> list[str]:
    """The accepted differences. InputError names those that are not, or cannot be."""
    different = config_differences(begun, config.as_dict(), f"{exp_dir}/config.yaml")
    fixed = [said for name, said in different.items() if is_fixed(name)]
    if fixed and accept_changes:
        raise InputError(
            f"{exp_dir}: its checkpoints cannot go on with this change ({'; '.join(fixed)}); name another directory"
        )
    if different and not accept_changes:
        way = "" if fixed else ", or go on with the change from the last checkpoint (--accept-changes true)"
        raise InputError(
            f"{exp_dir} was begun with another config ({'; '.join(different.values())}); "
            f"name another directory, {'or ' * bool(fixed)}delete this one{way}"
        )
    return list(different.values())


def is_fixed(name: str) -> bool:
    """Whether a value of the config belongs to FIXED, or names an objective or a part of one."""
    sections = itertools.accumulate(name.split("."), "{}.{}".format)
    return any(section in FIXED for section in sections) or (name.startswith("loss.") and name.endswith(".name"))


def record_changes(
    exp_dir: Path, config: SystemConfig, changes: list[str], step: int, *, overrides: list[str], source: str
) -> None:
    """Say in run.json's history what changed at which step, and make it the config of the directory."""
    log.info("going on with changes: %s", "; ".join(changes))
    (exp_dir / "final.pt").unlink(missing_ok=True)  # of the run as it was
    run = read_json(exp_dir / "run.json")
    entry = {"step": step, "changed": changes}
    history = [past for past in run.get("history", []) if {key: past[key] for key in entry} != entry]
    write_json(exp_dir / "run.json", {**run, "history": [*history, {**entry, **describe_command(overrides, source)}]})
    with whole_file(exp_dir / "config.yaml") as file:
        yaml.safe_dump(config.as_dict(), file, sort_keys=False)


def record_processes(exp_dir: Path, num_processes: int, step: int) -> None:
    """Say in run.json how many trained, one number after the other, now that the training goes on from `step`."""
    run = read_json(exp_dir / "run.json")
    before = run.get("processes", [1]) if step > 0 else []
    if before[-1:] != [num_processes]:
        write_json(exp_dir / "run.json", {**run, "processes": [*before, num_processes]})


def describe_initial(config: SystemConfig) -> dict[str, str] | None:
    """The file that `init_from` names and its digest, None without one. InputError when it is not there."""
    if config.init_from is None:
        return None
    path = initial_file(config.init_from)
    if not path.is_file():
        raise InputError(f"init_from: {path}: no such file; train that system first")
    return {"file": os.fspath(path), "digest": file_digest(path)}


def describe_run(data_dir: Path, digests: dict[str, str], overrides: list[str], source: str) -> dict[str, Any]:
    """All that a reader of the result needs to make it again."""
    return {"data": os.fspath(data_dir), "data_digests": digests, **describe_command(overrides, source)}


def describe_command(overrides: list[str], source: str) -> dict[str, Any]:
    """What a command was told, by which program and when."""
    import numpy
    import torch

    return {
        "config": source,
        "overrides": overrides,
        "commit": commit(),
        "versions": {
            "spk": spk.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": numpy.__version__,
        },
        "machine": {"processor": processor_name(), "cores": os.cpu_count(), "cuda": cuda_name()},
        "begun": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def commit() -> str | None:
    """The commit of this checkout, with '+changes' when the tree differs from it; None outside of git."""
    root = Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def processor_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def cuda_name() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None
