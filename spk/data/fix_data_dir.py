"""Make a data directory consistent: the utterances that all tables have, sorted, without repeated or bad lines."""

from __future__ import annotations

import operator
import os
import shutil
from itertools import compress, islice
from pathlib import Path

from spk.data.data_dir import (
    RECORDING_FILES,
    SPARSE_FILES,
    SPEAKER_FILES,
    UTTERANCE_FILES,
    align,
    check_source,
    count_and_name,
    encode,
    lines_of,
    speakers_to_utterances,
    split_lines,
    strictly_sorted,
    write_whole,
)
from spk.data.table_rules import bad_values
from spk.data.validate_data_dir import POINTERS, missing_files
from spk.errors import InputError


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
    fix.tables["utt2spk"] = (utterances, speakers)
    fix.load(UTTERANCE_FILES[1:], "utterances", utterances)
    recordings = utterances
    if "segments" in fix.tables:
        recordings = [value and value.split()[0] for value in fix.tables["segments"][1]]
    fix.load(RECORDING_FILES, "recordings" if "segments" in fix.tables else "utterances", recordings)
    fix.load(SPEAKER_FILES[1:], "speakers", speakers)
    if not any(fix.kept):
        raise InputError(f"{data_dir}: no utterance is in every table, so nothing is changed: {'; '.join(fix.notes)}")
    fix.utt2spk = dict(zip(compress(utterances, fix.kept), compress(speakers, fix.kept), strict=True))
    spk2utt = speakers_to_utterances(fix.utt2spk)
    fix.tables["spk2utt"] = (list(spk2utt), list(spk2utt.values()))
    fix.save(UTTERANCE_FILES, utterances)
    fix.save(RECORDING_FILES, recordings)
    fix.save(SPEAKER_FILES, speakers)
    return fix


class Fix:
    """A data directory while it is mended, and afterwards what was done: a line about each drop, the changed files.

    Tables are columns: keys, and values with None for a key that the table lacks. `kept` goes with the utterances of
    utt2spk. The owners of a kind of table are, for each of these utterances, its key there: itself, its recording (None
    where segments lack it), or its speaker.
    """

    def __init__(self, data_dir: Path, drop_missing_files: bool) -> None:
        self.data_dir = data_dir
        self.drop_missing_files = drop_missing_files
        self.num_before = 0
        self.kept: list[bool] = []
        self.tables: dict[str, tuple[list[str], list[str | None]]] = {}
        self.notes: list[str] = []
        self.changed: list[str] = []
        self.utt2spk: dict[str, str] = {}

    def note(self, name: str, what: str, keys: list[str]) -> None:
        if keys:
            self.notes.append(f"{self.data_dir / name}: {what}, {count_and_name(keys)}")

    def sound_lines(self, name: str) -> tuple[list[str], list[str]]:
        """The columns of a table, sorted, without the lines that cannot stay; of lines with the same key the first."""
        lines = lines_of((self.data_dir / name).read_bytes())
        # To sort what was split would be much slower: here neighbours come to lie side by side in memory.
        lines.sort(key=first_word)
        keys, values = split_lines(lines)
        del lines
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
        if not strictly_sorted(keys):  # bytes that are not UTF-8 sort otherwise as text
            keys, values = map(list, zip(*sorted(zip(keys, values, strict=True)), strict=True))
        return keys, values

    def load(self, names: tuple[str, ...], unit: str, owners: list[str | None]) -> None:
        """Read the tables of one kind; what one of them lacks is not kept."""
        known = owners if unit == "utterances" else sorted(set(owners) - {None})
        source = "segments" if unit == "recordings" else "utt2spk"
        for name in names:
            if not (self.data_dir / name).exists():
                continue
            values, strangers = align(*self.sound_lines(name), known)
            self.note(name, f"{unit} that {source} does not have are dropped", strangers)
            if name in SPARSE_FILES:
                self.tables[name] = select(known, values, [value is not None for value in values])
                continue
            if None in values:
                missing = set(compress(known, [value is None for value in values]))
                self.note(name, f"{unit} that it lacks are dropped everywhere", sorted(missing))
                self.kept = [keep and owner not in missing for keep, owner in zip(self.kept, owners, strict=True)]
            self.tables[name] = (known, values)

    def save(self, names: tuple[str, ...], owners: list[str | None]) -> None:
        """Write the tables of one kind with what is kept, each if that changes it; the old one goes to .backup."""
        wanted = set(compress(owners, self.kept))
        for name in names:
            if name not in self.tables:
                continue
            keys, values = self.tables.pop(name)
            if len(keys) > len(wanted) or name in SPARSE_FILES:
                keys, values = select(keys, values, [key in wanted for key in keys])
            lines = [f"{key} {value}\n" for key, value in zip(keys, values, strict=True)]
            content = encode("".join(lines))
            path = self.data_dir / name
            if path.exists() and path.read_bytes() == content:
                continue
            if path.exists():
                back_up(path)
            write_whole(path, content)
            self.changed.append(name)


def first_word(line: bytes) -> bytes:
    words = line.split(None, 1)
    return words[0] if words else b""


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
