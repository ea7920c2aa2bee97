"""Kaldi data directories: tables of one `key rest` a line, in files that have the same names everywhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from spk.data.files import whole_file
from spk.errors import InputError

# Keyed by utterance; utt2spk says which utterances there are.
UTTERANCE_FILES = (
    "utt2spk",
    "segments",
    "feats.scp",
    "vad.scp",
    "utt2num_frames",
    "utt2dur",
    "text",
    "utt2uniq",
    "utt2lang",
)
# Keyed by recording. A recording is an utterance unless `segments` says which part of which recording an utterance is.
RECORDING_FILES = ("wav.scp", "reco2dur")
# Keyed by speaker. spk2utt is derived from utt2spk.
SPEAKER_FILES = ("spk2utt", "spk2gender", "cmvn.scp")
# About the directory as a whole: the frame shift in seconds, and the front end that made feats.scp.
DIRECTORY_FILES = ("frame_shift", "feats.yaml")


def parse_columns(content: bytes) -> tuple[list[str], list[str]]:
    """The first word of each line, and the rest of the line without blanks at its ends.

    Where a line has no rest the value is '', and where it is empty both are; so the index of an item plus one is its
    line number. Bytes that are not UTF-8 (file names may be anything) survive through surrogate escapes.
    """
    lines = content.split(b"\n")
    if not lines[-1]:
        lines.pop()
    keys, values = [], []
    add_key, add_value = keys.append, values.append
    for line in lines:
        key, value = (*line.split(None, 1), b"", b"")[:2]
        add_key(key.decode("utf-8", "surrogateescape"))
        add_value(value.rstrip().decode("utf-8", "surrogateescape"))
    return keys, values


def read_table(path: str | os.PathLike[str]) -> dict[str, str]:
    """{first word: rest of the line} in the order of the file.

    Raises InputError with file and line for an empty line, a key without a value, or a key that comes twice.
    """
    keys, values = parse_columns(Path(path).read_bytes())
    table = dict(zip(keys, values, strict=True))
    if len(table) == len(keys) and "" not in table.values():
        return table
    raise InputError(f"{path}{first_fault(keys, values)}{fix_hint(path)}")


def first_fault(keys: list[str], values: list[str]) -> str:
    """':line: what is wrong' for the first line that no table may hold."""
    first_line: dict[str, int] = {}
    for line, (key, value) in enumerate(zip(keys, values, strict=True), start=1):
        if not key:
            return f":{line}: empty line"
        if not value:
            return f":{line}: {key!r} has no value"
        if key in first_line:
            return f":{line}: {key!r} stands on line {first_line[key]} already"
        first_line[key] = line
    raise AssertionError("every line is sound")


def fix_hint(path: str | os.PathLike[str]) -> str:
    """' (run utils/fix_data_dir.sh DIR)' for the files of a data directory that this mends, else ''."""
    path = Path(path)
    mends = path.name in (*UTTERANCE_FILES, *RECORDING_FILES, *SPEAKER_FILES)
    return f" (run utils/fix_data_dir.sh {path.parent})" if mends else ""


def format_table(table: Mapping[str, str]) -> bytes:
    """The lines of a table, sorted by key as in the C locale (the order of UTF-8 bytes is that of code points)."""
    return "".join([f"{key} {table[key]}\n" for key in sorted(table)]).encode("utf-8", "surrogateescape")


def write_table(path: str | os.PathLike[str], table: Mapping[str, str]) -> None:
    """Write a table, sorted as in the C locale; the file appears whole or not at all."""
    with whole_file(path, "wb") as file:
        file.write(format_table(table))


def speakers_to_utterances(utt2spk: Mapping[str, str]) -> dict[str, str]:
    """spk2utt: {speaker: its utterances, sorted, with blanks between}."""
    groups: dict[str, list[str]] = {}
    for utterance in sorted(utt2spk):
        groups.setdefault(utt2spk[utterance], []).append(utterance)
    return {speaker: " ".join(utterances) for speaker, utterances in groups.items()}
