"""Make a data directory consistent: the utterances that all tables have, sorted, without repeated or bad lines."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path

from spk.data.data_dir import (
    RECORDING_FILES,
    SPEAKER_FILES,
    UTTERANCE_FILES,
    align,
    check_source,
    count_and_name,
    encode,
    lines_of,
    numbered,
    speakers_to_utterances,
    split_lines,
    strictly_sorted,
    write_whole,
)
from spk.data.table_rules import bad_values
from spk.data.validate_data_dir import POINTERS, missing_files
from spk.errors import InputError


@dataclass
class Fixed:
    """What was done: a line about each drop, the files that changed, and what there is now."""

    num_before: int = 0
    notes: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    utt2spk: dict[str, str] = field(default_factory=dict)


def fix_data_dir(data_dir: Path, drop_missing_files: bool = False) -> Fixed:
    """Rewrite the tables that need it; the originals of these go to data_dir/.backup. Trial lists are left alone.

    With `drop_missing_files`, a line whose file is not there counts as missing. Raises InputError, and changes nothing,
    when no utterance would remain.
    """
    check_source(data_dir)
    fixed = Fixed()
    keys, values = sound_lines(data_dir / "utt2spk", drop_missing_files, fixed)
    utterances = list(dict.fromkeys(keys))
    speakers = aligned_values(data_dir / "utt2spk", keys, values, numbered(utterances), "utterances", fixed)
    recordings: list[str | None] = list(utterances)
    fixed.num_before = len(utterances)

    # Each kind of table: its files, what it is about, and for each utterance the key in it.
    kinds = (
        (UTTERANCE_FILES[1:], "utterances", utterances),
        (RECORDING_FILES, "recordings", recordings),
        (SPEAKER_FILES[1:], "speakers", speakers),
    )
    kept = [True] * len(utterances)
    tables: dict[str, tuple[list[str], list[str | None]]] = {"utt2spk": (utterances, speakers)}
    for names, unit, owners in kinds:
        known = sorted(set(owners) - {None})
        if known == utterances:
            unit = "utterances"
        row_of = numbered(known)
        for name in names:
            path = data_dir / name
            if not path.exists():
                continue
            keys, values = sound_lines(path, drop_missing_files, fixed)
            values = aligned_values(path, keys, values, row_of, unit, fixed)
            if None in values:
                missing = set(compress(known, [value is None for value in values]))
                fixed.notes.append(f"{path}: {unit} that it lacks are dropped everywhere, {count_and_name(missing)}")
                kept = [keep and owner not in missing for keep, owner in zip(kept, owners, strict=True)]
            tables[name] = (known, values)
            if name == "segments":
                recordings[:] = [value and value.split()[0] for value in values]
    if not any(kept):
        raise InputError(f"{data_dir}: no utterance is in every table, so nothing is changed: {'; '.join(fixed.notes)}")

    fixed.utt2spk = dict(zip(compress(utterances, kept), compress(speakers, kept), strict=True))
    spk2utt = speakers_to_utterances(fixed.utt2spk)
    tables["spk2utt"] = (sorted(spk2utt), [spk2utt[speaker] for speaker in sorted(spk2utt)])
    for names, owners in ((UTTERANCE_FILES, utterances), (RECORDING_FILES, recordings), (SPEAKER_FILES, speakers)):
        wanted = None if all(kept) else set(compress(owners, kept))
        for name in names:
            if name in tables:
                rows = zip(*tables.pop(name), strict=True)
                lines = [f"{key} {value}\n" for key, value in rows if wanted is None or key in wanted]
                replace(data_dir / name, lines, fixed)
    return fixed


def sound_lines(path: Path, drop_missing_files: bool, fixed: Fixed) -> tuple[list[str], list[str]]:
    """The columns of a table, sorted, without the lines that cannot stay; these are noted."""
    lines = lines_of(path.read_bytes())
    keys, values = split_lines(lines)
    if not strictly_sorted(keys):
        # Lines with the same key stay in the order of the file. (Sorting lines and splitting them again is much faster
        # than sorting what was split: neighbours then lie side by side in memory in all that follows.)
        lines.sort(key=first_word)
        keys, values = split_lines(lines)
    faults = bad_values(path.name, values)
    if drop_missing_files and path.name in POINTERS:
        faults |= {value: f"no such file: {file}" for value, file in missing_files(path.name, values).items()}
    if faults:
        bad = [key for key, value in zip(keys, values, strict=True) if value in faults]
        fixed.notes.append(f"{path}: lines with bad values are dropped, {count_and_name(bad)}")
    if "" in values:
        fixed.notes.append(f"{path}: lines without an id or a value are dropped, {values.count('')}")
        faults[""] = "no value"
    if faults:
        sound = [value not in faults for value in values]
        keys, values = list(compress(keys, sound)), list(compress(values, sound))
    return keys, values


def first_word(line: bytes) -> bytes:
    words = line.split(None, 1)
    return words[0] if words else b""


def aligned_values(
    path: Path, keys: list[str], values: list[str], row_of: Mapping[str, int], unit: str, fixed: Fixed
) -> list[str | None]:
    """The table's values for the known keys; what repeats and what is unknown is dropped and noted."""
    aligned = align(keys, values, row_of)
    if aligned.repeated:
        note = f"{path}: of lines with the same id the first is kept, {count_and_name(aligned.repeated)}"
        fixed.notes.append(note)
    if aligned.strangers:
        source = "segments" if unit == "recordings" else "utt2spk"
        note = f"{path}: {unit} that {source} does not have are dropped, {count_and_name(aligned.strangers)}"
        fixed.notes.append(note)
    return aligned.values


def replace(path: Path, lines: Sequence[str], fixed: Fixed) -> None:
    """Write the file if that changes it; the old one goes to .backup."""
    content = encode("".join(lines))
    if path.exists():
        if path.read_bytes() == content:
            return
        backup = path.parent / ".backup" / path.name
        backup.parent.mkdir(exist_ok=True)
        backup.unlink(missing_ok=True)
        try:
            os.link(path, backup)  # the new file gets its place by renaming, so the old one stays as it is
        except OSError:
            shutil.copy2(path, backup)
    write_whole(path, content)
    fixed.changed.append(path.name)
