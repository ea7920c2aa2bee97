"""Join data directories into one."""

from __future__ import annotations

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
    read_table,
    trial_lists,
    write_table,
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
    utt2spk: dict[str, str] = {}
    for name in written:
        merged, shared = merge(name, sources)
        write_table(destination / name, merged)
        if name == "utt2spk":
            utt2spk = merged
            if shared:
                notes.append(f"utterances in more than one source, {count_and_name(shared)}")
    complete_data_dir(destination, utt2spk, written, directory_files)
    notes += [
        f"{path} is left out: a list of trials stays with its directory" for s in sources for path in trial_lists(s)
    ]
    return notes


def merge(name: str, sources: Sequence[Path]) -> tuple[dict[str, str], set[str]]:
    """One table of all sources, and the keys that several of them have."""
    merged: dict[str, str] = {}
    shared: set[str] = set()
    for source in sources:
        path = source / name
        table = made_up(path) if name in SPARSE_FILES or not path.exists() else {}
        if path.exists():
            table |= read_table(path)
        for key in merged.keys() & table.keys():
            if merged[key] != table[key]:
                raise InputError(
                    f"{path}: {key!r} is {table[key]!r}, but {merged[key]!r} in another of the sources "
                    f"(give it ids of its own with utils/copy_data_dir.sh --utt-prefix P --spk-prefix P {source} NEW)"
                )
            shared.add(key)
        merged |= table
    return merged, shared


def made_up(path: Path) -> dict[str, str]:
    """`segments` of whole recordings, `utt2uniq` of copies of none, or `utt2augmentation` that does nothing."""
    utterances = read_table(path.parent / "utt2spk")
    if path.name == "utt2augmentation":
        return dict.fromkeys(utterances, "{}")
    if path.name == "utt2uniq":
        return {utterance: utterance for utterance in utterances}
    if not (path.parent / "utt2dur").exists():
        raise InputError(f"{path.parent / 'utt2dur'}: no such file; it is needed to write segments of whole recordings")
    durations = read_table(path.parent / "utt2dur")
    missing = utterances.keys() - durations.keys()
    if missing:
        raise InputError(f"{path.parent / 'utt2dur'}: lacks utterances, {count_and_name(missing)}")
    return {utterance: f"{utterance} 0 {durations[utterance]}" for utterance in utterances}


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
