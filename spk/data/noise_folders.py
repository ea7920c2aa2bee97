"""One's own noises and room responses as lists: noise/<class>/<clip> and rir/<response>, with a split for testing."""

from __future__ import annotations

import logging
from pathlib import Path

from spk.data.data_dir import count_and_name
from spk.errors import InputError

log = logging.getLogger(__name__)
AUDIO = (".wav", ".flac")
SPLITS = ("train", "test")


def list_split(folder: Path, kind: str) -> dict[str, dict[str, str]]:
    """{'train': {name: path}, 'test': ...} of the recordings under folder/noise or folder/rir.

    `folder/<kind>.tsv` says which is for training and which for testing; without it all are for training. A recording
    is called by its path below the folder, with dashes. InputError: two of one name, a blank in a name, and (with file
    and line) what is wrong with the table, which has to name every recording.
    """
    paths = {str(path.relative_to(folder)): path.absolute() for path in find_recordings(folder / kind)}
    table = folder / f"{kind}.tsv"
    splits = read_splits(table) if table.exists() else dict.fromkeys(paths, "train")
    lacking, unknown = paths.keys() - splits.keys(), splits.keys() - paths.keys()
    if lacking:
        raise InputError(f"{table}: lacks recordings that are there, {count_and_name(lacking)}")
    if unknown:
        log.info("%s: names recordings that are not there, %s", table, count_and_name(unknown))
    sets: dict[str, dict[str, str]] = {split: {} for split in SPLITS}
    known: dict[str, Path] = {}
    for place, path in paths.items():
        name = name_of(place)
        if name in known:
            raise InputError(f"{path} and {known[name]}: both would be called {name!r}; rename one")
        known[name] = path
        sets[splits[place]][name] = str(path)
    return sets


def name_of(place: str) -> str:
    """noise/rain/1-17367-A.flac -> rain-1-17367-A"""
    name = "-".join(Path(place).with_suffix("").parts[1:])
    if len(name.split()) != 1:
        raise InputError(f"{place}: there is a blank in its name, which tables cannot hold; rename it")
    return name


def find_recordings(folder: Path) -> list[Path]:
    """The .wav and .flac files below a folder, sorted; hidden ones are left out, others counted."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    recordings = [path for path in files if path.suffix.lower() in AUDIO]
    others = [str(path) for path in files if path.suffix.lower() not in AUDIO]
    if others:
        log.info("%s: left out files that are no recordings, %s", folder, count_and_name(others))
    return recordings


def read_splits(table: Path) -> dict[str, str]:
    """{path: train or test} from the columns path and split; others are not looked at. InputError names the line."""
    lines = table.read_text(encoding="utf-8-sig", errors="surrogateescape").split("\n")
    header = lines[0].rstrip("\r").split("\t")
    for column in ("path", "split"):
        if column not in header:
            raise InputError(f"{table}:1: no column is named {column!r}; there are, with tabs between: {header}")
    splits: dict[str, str] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        fields = line.rstrip("\r").split("\t")
        if len(fields) != len(header):
            raise InputError(f"{table}:{number}: {len(fields)} fields, but the header has {len(header)}")
        row = dict(zip(header, fields, strict=True))
        if row["split"] not in SPLITS:
            raise InputError(f"{table}:{number}: split {row['split']!r}; allowed: {' or '.join(SPLITS)}")
        if row["path"] in splits:
            raise InputError(f"{table}:{number}: {row['path']!r} stands on an earlier line already")
        splits[row["path"]] = row["split"]
    return splits
