"""Join data directories into one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from spk.data.data_dir import (
    RECORDING_FILES,
    SPARSE_FILES,
    SPEAKER_FILES,
    UTTERANCE_FILES,
    check_source,
    complete_data_dir,
    count_and_name,
    directory_files_of,
    distinct,
    group_by_speaker,
    read_aligned,
    read_columns,
    read_sorted,
    rows_of,
    sort_columns,
    trial_lists,
    write_columns,
)
from spk.errors import InputError

# Made up where only some of the sources have them.
COMPLETED = ("segments", "utt2uniq", "utt2augmentation")


def combine_data(destination: Path, sources: Sequence[Path]) -> list[str]:
    """Write the union of the sources' tables; returns lines about what is left out or shared.

    A table that not all sources have is left out, except those that can be completed. Two sources may
    both have an utterance, a recording or a speaker if they say the same about it; InputError names what they do not.
    """
    for source in sources:
        check_source(source, destination)
    notes, written = [], []
    names = [name for name in (*UTTERANCE_FILES, *RECORDING_FILES, *SPEAKER_FILES) if name != "spk2utt"]
    for name in names:
        owners = [source for source in sources if (source / name).exists()]
        if owners == list(sources) or (owners and name in COMPLETED):
            written.append(name)
        elif owners:
            lacking = [str(source) for source in sources if source not in owners]
            notes.append(f"{name} is left out: not in {' '.join(lacking)}")
    directory_files = common_directory_files(sources) if "feats.scp" in written else {}
    spk2utt: dict[str, str] = {}
    for name in written:
        keys, values, shared = merge(name, sources)
        write_columns(destination / name, keys, values)
        if name == "utt2spk":
            spk2utt = group_by_speaker(keys, values)
            if shared:
                notes.append(f"utterances in more than one source, {count_and_name(shared)}")
    complete_data_dir(destination, spk2utt, written, directory_files)
    notes += [
        f"{path} is left out: a list of trials stays with its directory" for s in sources for path in trial_lists(s)
    ]
    return notes


def merge(name: str, sources: Sequence[Path]) -> tuple[list[str], list[str], list[str]]:
    """The columns of one table of all sources, sorted, and the keys that several of them have."""
    tables = [completed(source / name) for source in sources]
    keys, values = (list(itertools.chain.from_iterable(columns)) for columns in zip(*tables, strict=True))
    keys, values = sort_columns(keys, values)
    shared = distinct(key for key, following in itertools.pairwise(keys) if key == following)
    if shared:
        check_agreement([source / name for source in sources], tables, set(shared))
        table = dict(zip(keys, values, strict=True))
        keys, values = list(table), list(table.values())
    return keys, values, shared


def check_agreement(paths: Sequence[Path], tables: Sequence[tuple[list[str], list[str]]], shared: set[str]) -> None:
    """InputError when two tables say different things about a key that they share."""
    said: dict[str, str] = {}
    for path, (keys, values) in zip(paths, tables, strict=True):
        for key, value in zip(keys, values, strict=True):
            if key in shared and said.setdefault(key, value) != value:
                raise InputError(
                    f"{path}: {key!r} is {value!r}, but {said[key]!r} in another of the sources (give it ids of its "
                    f"own with utils/copy_data_dir.sh --utt-prefix P --spk-prefix P {path.parent} NEW)"
                )


def completed(path: Path) -> tuple[list[str], list[str]]:
    """The columns of a table. Where it may lack lines or be missing, these are made up:

    `segments` of whole recordings, `utt2uniq` of copies of none, `utt2augmentation` that does nothing.
    """
    if path.exists() and path.name not in SPARSE_FILES:
        return read_columns(path)
    utterances, _ = read_sorted(path.parent / "utt2spk")
    if path.name == "utt2uniq":
        return utterances, utterances
    if path.name == "utt2augmentation":
        keys, values = read_sorted(path) if path.exists() else ([], [])
        _, lacking = rows_of(keys, utterances)
        return keys + lacking, values + ["{}"] * len(lacking)
    utt2dur = path.parent / "utt2dur"
    if not utt2dur.exists():
        raise InputError(f"{utt2dur}: no such file; it is needed to write segments of whole recordings")
    durations, _ = read_aligned(utt2dur, utterances)
    missing = [utterance for utterance, value in zip(utterances, durations, strict=True) if value is None]
    if missing:
        raise InputError(f"{utt2dur}: lacks utterances, {count_and_name(missing)}")
    return utterances, [f"{utterance} 0 {value}" for utterance, value in zip(utterances, durations, strict=True)]


def common_directory_files(sources: Sequence[Path]) -> dict[str, bytes]:
    """The files about a directory as a whole, the same in all sources: else their features are not of one kind."""
    first = directory_files_of(sources[0])
    for source in sources[1:]:
        other = directory_files_of(source)
        for name in sorted(first.keys() | other.keys()):
            if first.get(name) != other.get(name):
                raise InputError(
                    f"{source / name} and {sources[0] / name} differ, or only one is there: "
                    "the features are not alike; make them with one front end, or remove feats.scp from one directory"
                )
    return first
