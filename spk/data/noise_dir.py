"""Data directories of noises and of room responses: wav.scp, utt2spk and spk2utt (each its own speaker), utt2dur."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from spk.data.audio import is_pipe
from spk.data.data_dir import count_and_name, read_columns, read_table, write_table
from spk.data.durations import read_durations
from spk.data.features import Source, file_state, list_rejected
from spk.data.stamp import differences, write_stamp
from spk.data.table_rules import bad_values
from spk.errors import InputError

log = logging.getLogger(__name__)


class NoiseSet(NamedTuple):
    """Recordings in the order of their names: paths, and seconds."""

    paths: list[str]
    durations: list[float]

    def digest(self) -> str:
        """Of all that is drawn from, wherever the lengths were read."""
        lines = (f"{path} {seconds:.6f}\n" for path, seconds in zip(self.paths, self.durations, strict=True))
        sha = hashlib.sha256()
        for line in lines:
            sha.update(line.encode("utf-8", "surrogateescape"))
        return sha.hexdigest()


def make_noise_dir(folder: Path, paths: Mapping[str, str], rooms: Mapping[str, str] | None = None) -> None:
    """Write {recording: path} as a data directory, and rir2room where the rooms of responses are known.

    What cannot be read or holds no samples is left out, counted, and listed in rejected.tsv. InputError when nothing
    remains. Nothing is done when the directory stands already for the same recordings.
    """
    stamp = folder / ".done"
    inputs = {"recordings": digest(paths, rooms or {})}
    different = differences(stamp, inputs)
    if different == [] and all((folder / name).exists() for name in ("wav.scp", "utt2spk", "spk2utt", "utt2dur")):
        log.info("%s: already made", folder)
        return
    if different:
        log.info("%s is made again, because the recordings changed", folder)
    stamp.unlink(missing_ok=True)
    durations, reasons = read_headers(paths)
    list_rejected(folder / "rejected.tsv", [(name, paths[name], reason) for name, reason in reasons.items()])
    if reasons:
        name = min(reasons)
        said = f"{len(reasons)} of {len(paths)} recordings are left out, listed in {folder}/rejected.tsv"
        log.info("%s; the first is %s: %s", said, paths[name], reasons[name])
    if not durations:
        raise InputError(f"{folder}: none of the {len(paths)} recordings can be used; see {folder}/rejected.tsv")
    write_table(folder / "wav.scp", {name: paths[name] for name in durations})
    write_table(folder / "utt2spk", {name: name for name in durations})
    write_table(folder / "spk2utt", {name: name for name in durations})
    (folder / "rir2room").unlink(missing_ok=True)
    if rooms is not None:
        write_table(folder / "rir2room", {name: rooms[name] for name in durations})
    write_table(folder / "utt2dur", {name: f"{seconds:.6f}" for name, seconds in durations.items()})
    log.info("%s: %d recordings, %.3g hours", folder, len(durations), sum(durations.values()) / 3600)
    write_stamp(stamp, inputs)


def read_headers(paths: Mapping[str, str]) -> tuple[dict[str, float], dict[str, str]]:
    """{recording: seconds} of those that can be read, and {recording: why not}."""
    return read_durations({name: Source(path) for name, path in paths.items()})


def digest(paths: Mapping[str, str], rooms: Mapping[str, str]) -> str:
    """Of the names, the files as they are now, and the rooms."""
    sha = hashlib.sha256()
    for name in sorted(paths):
        line = f"{name} {paths[name]} {file_state(paths[name])} {rooms.get(name)}\n"
        sha.update(line.encode("utf-8", "surrogateescape"))
    return sha.hexdigest()


def read_noise_dir(folder: str | os.PathLike[str]) -> NoiseSet:
    """Its recordings and their lengths, by utt2dur or else by their headers; so any data directory of speech is babble.

    InputError for what is no such directory, has segments or commands, or has no recording that can be read.
    """
    folder = Path(folder)
    if not (folder / "wav.scp").is_file():
        raise InputError(f"{folder / 'wav.scp'}: no such file; local/prepare_noise_folders makes directories of noises")
    if (folder / "segments").exists():
        raise InputError(f"{folder / 'segments'}: noises are whole recordings; give each a file of its own")
    paths = read_table(folder / "wav.scp")
    for line, (name, path) in enumerate(paths.items(), start=1):
        if is_pipe(path):
            raise InputError(f"{folder / 'wav.scp'}:{line}: {name!r} is a command; noises are read from files")
    table = folder / "utt2dur"
    durations = dict(zip(*read_lengths(table), strict=True)) if table.exists() else read_headers(paths)[0]
    lacking = paths.keys() - durations.keys()
    if lacking:
        log.info("%s: recordings of unknown length are not used, %s", folder, count_and_name(lacking))
    names = sorted(paths.keys() - lacking)
    if not names:
        raise InputError(f"{folder}: there is no recording in it that can be used")
    return NoiseSet([paths[name] for name in names], [durations[name] for name in names])


def read_lengths(path: Path) -> tuple[list[str], list[float]]:
    """The columns of utt2dur; InputError for what is no number above 0."""
    names, lengths = read_columns(path)
    faults = bad_values("utt2dur", lengths)
    if faults:
        raise InputError(f"{path}: {next(iter(faults.values()))} (run utils/fix_data_dir.sh {path.parent})")
    return names, list(map(float, lengths))
