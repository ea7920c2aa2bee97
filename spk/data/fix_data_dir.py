"""Make a data directory consistent: the utterances that all tables have, sorted, without repeated or bad lines."""

from __future__ import annotations

import operator
import os
import shutil
from collections.abc import Iterable
from itertools import compress, count, islice
from pathlib import Path

import numpy as np

from spk.data.data_dir import (
    RECORDING_FILES,
    SPARSE_FILES,
    SPEAKER_FILES,
    UTTERANCE_FILES,
    align,
    blocks_of_lines,
    check_source,
    count_and_name,
    distinct,
    group_by_speaker,
    lines_of,
    parse_columns,
    recording_of,
    sort_columns,
    strictly_sorted,
)
from spk.data.files import whole_file
from spk.data.table_rules import bad_values
from spk.data.validate_data_dir import POINTERS, missing_files
from spk.errors import InputError

MOST_PADDING = 4  # of an array in which each line takes the place of the longest: so many times the lines themselves


def fix_data_dir(data_dir: Path, drop_missing_files: bool = False) -> Fix:
    """Rewrite the tables that need it; the originals of these go to data_dir/.backup. Trial lists are left alone.

    With `drop_missing_files`, a line whose file is not there counts as missing. Raises InputError, and changes nothing,
    when no utterance would remain.
    """
    check_source(data_dir)
    fix = Fix(data_dir, drop_missing_files)
    utterances, speakers = fix.sound_lines("utt2spk")
    fix.num_before = len(utterances)
    fix.kept = [True] * len(utterances)
    fix.tables["utt2spk"] = speakers
    fix.load(UTTERANCE_FILES[1:], "utterances", utterances, utterances)
    recordings = known_recordings = utterances
    if "segments" in fix.tables:
        recordings = [value and recording_of(value) for value in fix.tables["segments"]]
        known_recordings = distinct(filter(None, recordings))
    unit = "recordings" if "segments" in fix.tables else "utterances"
    fix.load(RECORDING_FILES, unit, recordings, known_recordings)
    known_speakers = distinct(speakers)
    fix.load(SPEAKER_FILES[1:], "speakers", speakers, known_speakers)
    if not any(fix.kept):
        raise InputError(f"{data_dir}: no utterance is in every table, so nothing is changed: {'; '.join(fix.notes)}")
    fix.utterances, fix.speakers = select(utterances, speakers, fix.kept)
    fix.save(UTTERANCE_FILES, utterances, fix.utterances)
    fix.save(RECORDING_FILES, known_recordings, distinct(compress(recordings, fix.kept)))
    spk2utt = group_by_speaker(fix.utterances, fix.speakers)
    fix.write("spk2utt", spk2utt.items())
    fix.save(SPEAKER_FILES, known_speakers, list(spk2utt))
    return fix


class Fix:
    """A data directory while it is mended, and afterwards what was done: a line about each drop, the changed files.

    Tables are columns of values for the known keys of their kind, in order, and None where a table lacks one. `kept`
    goes with the utterances of utt2spk. The owners of a kind of table are, for each of these utterances, its key there:
    itself, its recording (None where segments lack it), or its speaker.
    """

    def __init__(self, data_dir: Path, drop_missing_files: bool) -> None:
        self.data_dir = data_dir
        self.drop_missing_files = drop_missing_files
        self.num_before = 0
        self.kept: list[bool] = []
        self.tables: dict[str, list[str | None]] = {}
        self.notes: list[str] = []
        self.changed: list[str] = []
        self.utterances: list[str] = []  # that remain
        self.speakers: list[str] = []  # of these

    def note(self, name: str, what: str, keys: list[str]) -> None:
        if keys:
            self.notes.append(f"{self.data_dir / name}: {what}, {count_and_name(keys)}")

    def sound_lines(self, name: str) -> tuple[list[str], list[str]]:
        """The columns of a table, sorted, without the lines that cannot stay; of lines with the same key the first."""
        keys, values = parse_sorted((self.data_dir / name).read_bytes())
        faults = bad_values(name, values)
        if self.drop_missing_files and name in POINTERS:
            faults |= missing_files(name, values)
        bad = [key for key, value in zip(keys, values, strict=True) if value in faults] if faults else []
        self.note(name, "lines with bad values are dropped", bad)
        if "" in values:
            self.notes.append(f"{self.data_dir / name}: lines without an id or a value are dropped, {values.count('')}")
            faults[""] = "no value"
        if faults:
            keys, values = select(keys, values, [value not in faults for value in values])
        first_of_key = [True, *map(operator.ne, keys, islice(keys, 1, None))]
        if not all(first_of_key):
            repeated = [key for key, first in zip(keys, first_of_key, strict=False) if not first]
            self.note(name, "of lines with the same id the first is kept", list(dict.fromkeys(repeated)))
            keys, values = select(keys, values, first_of_key)
        return keys, values

    def load(self, names: tuple[str, ...], unit: str, owners: list[str | None], known: list[str]) -> None:
        """Read the tables of one kind; what one of them lacks is not kept."""
        source = "segments" if unit == "recordings" else "utt2spk"
        missing: set[str] = set()
        for name in names:
            if not (self.data_dir / name).exists():
                continue
            values, strangers = align(*self.sound_lines(name), known)
            self.note(name, f"{unit} that {source} does not have are dropped", strangers)
            if None in values and name not in SPARSE_FILES:
                lacking = [key for key, value in zip(known, values, strict=True) if value is None]
                self.note(name, f"{unit} that it lacks are dropped everywhere", lacking)
                missing.update(lacking)
            self.tables[name] = values
        if missing:
            self.kept = [keep and owner not in missing for keep, owner in zip(self.kept, owners, strict=True)]

    def save(self, names: tuple[str, ...], known: list[str], wanted: list[str]) -> None:
        """Write the tables of one kind, with the keys that are wanted of those known; both are sorted."""
        is_wanted = [key is not None for key in align(wanted, wanted, known)[0]]
        for name in names:
            if name in self.tables:
                rows = zip(wanted, compress(self.tables.pop(name), is_wanted), strict=True)
                self.write(name, (row for row in rows if row[1] is not None) if name in SPARSE_FILES else rows)

    def write(self, name: str, rows: Iterable[tuple[str, str]]) -> None:
        """Write a table if that changes it; the old one goes to .backup."""
        path = self.data_dir / name
        blocks = list(blocks_of_lines(rows))
        if path.exists():
            if is_content(path, blocks):
                return
            back_up(path)
        with whole_file(path, "wb") as file:
            file.writelines(blocks)
        self.changed.append(name)


def is_content(path: Path, blocks: Iterable[bytes]) -> bool:
    with path.open("rb") as file:
        return all(file.read(len(block)) == block for block in blocks) and not file.read(1)


def parse_sorted(content: bytes) -> tuple[list[str], list[str]]:
    """As parse_columns, sorted; lines with the same key stay in their order."""
    keys, values = parse_columns(content)
    if strictly_sorted(keys):
        return keys, values
    lines = sort_lines(content)
    if lines is not None:
        del keys, values
        keys, values = parse_columns(lines)
        if is_order_of_keys(keys, values):
            return keys, values
        del keys, values, lines
        keys, values = parse_columns(content)
    return sort_columns(keys, values)


def sort_lines(content: bytes) -> bytes | None:
    """The lines in the order of their bytes; None where they hold zeros or most are much shorter than some.

    Side by side in an array they are sorted several times faster than as objects, which are all over the memory.
    """
    lines = lines_of(content)
    width = 1 + max(map(len, lines))
    if b"\0" in content or len(lines) * width > MOST_PADDING * len(content):
        return None
    array = np.array(lines, f"S{width}")
    del lines
    array.sort()
    array.view(np.uint8).reshape(-1, width)[:, -1] = ord("\n")
    padded = array.tobytes()
    del array
    return padded.translate(None, b"\0")


def is_order_of_keys(keys: list[str], values: list[str]) -> bool:
    """Whether lines that were sorted as a whole are so by their keys, and in no other order than those with the same
    key had: these must be alike."""
    after = keys[1:]
    same = compress(count(), map(operator.eq, keys, after))
    return all(map(operator.le, keys, after)) and all(values[row] == values[row + 1] for row in same)


def select(keys: list[str], values: list[str], mask: list[bool]) -> tuple[list[str], list[str]]:
    return list(compress(keys, mask)), list(compress(values, mask))


def back_up(path: Path) -> None:
    """Keep the file's present content in .backup; the file itself is about to be replaced by renaming."""
    backup = path.parent / ".backup" / path.name
    backup.parent.mkdir(exist_ok=True)
    backup.unlink(missing_ok=True)
    try:
        os.link(path, backup)
    except OSError:
        shutil.copy2(path, backup)
