"""Find every kind of mistake in a data directory, with file and line and the command that mends it."""

from __future__ import annotations

import itertools
import operator
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from spk.data.data_dir import (
    RECORDING_FILES,
    SPARSE_FILES,
    SPEAKER_FILES,
    UTTERANCE_FILES,
    align,
    count_and_name,
    distinct,
    group_by_speaker,
    parse_columns,
    recording_of,
    strictly_sorted,
)
from spk.data.table_rules import bad_values

# Made from the features, or pointing to them.
FEATURE_FILES = ("feats.scp", "vad.scp", "cmvn.scp", "utt2num_frames", "utt2dur")
POINTERS = ("wav.scp", "feats.scp", "vad.scp", "cmvn.scp")
FILES_REMEMBERED = 4096  # the same ark follows itself in a table; all recordings would outgrow the processor's caches


@dataclass(frozen=True)
class Checks:
    """What to check. `skip` names tables that are not looked at."""

    skip: frozenset[str] = frozenset()
    need_audio: bool = True  # wav.scp or feats.scp must be there
    files_exist: bool = True
    allow_pipes: bool = False
    speaker_order: bool = True
    shown_of_each: int = 5


@dataclass
class Findings:
    """Problems as lines. Of each kind in each file only the first few are kept; all are counted."""

    shown_of_each: int
    lines: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, path: Path, problems: Iterable[str]) -> None:
        """Problems of one kind; each begins with ': ' or ':LINE: '."""
        problems = iter(problems)
        shown = list(itertools.islice(problems, self.shown_of_each))
        more = sum(1 for _ in problems)
        self.lines += [f"{path}{problem}" for problem in shown]
        if more:
            self.lines.append(f"{path}: {more} more like the last one")
        self.count += len(shown) + more


def validate_data_dir(data_dir: Path, checks: Checks) -> tuple[Findings, str]:
    """The problems found, and what the directory holds ('5 utterances of 2 speakers')."""
    findings = Findings(checks.shown_of_each)
    if not (data_dir / "utt2spk").exists():
        findings.add(data_dir / "utt2spk", [": no such file; it says which utterances there are"])
        return findings, "nothing"
    if checks.need_audio and not any((data_dir / name).exists() for name in ("wav.scp", "feats.scp")):
        findings.add(data_dir, [": neither wav.scp nor feats.scp; there is nothing to work on"])
    utterances, speakers = check_table(data_dir / "utt2spk", checks, findings)
    if checks.speaker_order:
        speaker_problems(data_dir, utterances, speakers, findings)
    utterances, speakers = sound_columns(utterances, speakers)
    spk2utt = group_by_speaker(utterances, speakers)
    recordings = utterances
    if (data_dir / "segments").exists():
        segments = sound_columns(*parse_columns((data_dir / "segments").read_bytes()))
        recordings = distinct(filter(None, map(recording_of, filter(None, align(*segments, utterances)[0]))))
    expected = {UTTERANCE_FILES: utterances, RECORDING_FILES: recordings, SPEAKER_FILES: list(spk2utt)}
    for names, expected_keys in expected.items():
        for name in names:
            path = data_dir / name
            if name == "spk2utt":
                check_spk2utt(path, spk2utt, checks, findings)
            elif name != "utt2spk" and name not in checks.skip and path.exists():
                keys, _ = check_table(path, checks, findings)
                findings.add(path, different_keys(path, keys, expected_keys))
    return findings, f"{len(utterances)} utterances of {len(spk2utt)} speakers"


def sound_columns(keys: list[str], values: list[str]) -> tuple[list[str], list[str]]:
    """A table sorted, without the lines that have no value; of lines with the same key the last."""
    if strictly_sorted(keys) and "" not in values:
        return keys, values
    table = {key: value for key, value in zip(keys, values, strict=True) if value}
    keys = sorted(table)
    return keys, [table[key] for key in keys]


def check_table(path: Path, checks: Checks, findings: Findings) -> tuple[list[str], list[str]]:
    """Check what a file shows by itself; return its columns."""
    content = path.read_bytes()
    keys, values = parse_columns(content)
    fix = f"(run utils/fix_data_dir.sh {path.parent})"
    if not content and path.name not in SPARSE_FILES:
        findings.add(path, [": the file is empty"])
    elif content and not content.endswith(b"\n"):
        findings.add(path, [f":{len(keys)}: the last line does not end in a newline {fix}"])
    if b"\r" in content:
        line = content[: content.index(b"\r")].count(b"\n") + 1
        findings.add(path, [f":{line}: there is a carriage return, as Windows writes it {fix}"])
    del content
    if "" in values:
        findings.add(path, empty_lines(keys, values, fix))
    if not strictly_sorted(keys):
        findings.add(path, disordered_keys(keys, fix))
        findings.add(path, repeated_keys(keys, fix))
    faults = bad_values(path.name, values)
    if faults:
        drop = f"(correct it, or drop it with utils/fix_data_dir.sh {path.parent})"
        findings.add(
            path,
            (
                f":{line}: {key!r}: {faults[value]} {drop}"
                for line, (key, value) in enumerate(zip(keys, values, strict=True), start=1)
                if value in faults
            ),
        )
    if path.name in POINTERS:
        check_pointers(path, keys, values, checks, findings)
    return keys, values


def empty_lines(keys: Sequence[str], values: Sequence[str], fix: str) -> Iterator[str]:
    for line, (key, value) in enumerate(zip(keys, values, strict=True), start=1):
        if not value:
            yield f":{line}: {f'{key!r} has no value' if key else 'empty line'} {fix}"


def disordered_keys(keys: Sequence[str], fix: str) -> Iterator[str]:
    for line, (before, key) in enumerate(itertools.pairwise(keys), start=2):
        if key < before:
            yield f":{line}: {key!r} comes after {before!r}, but sorts before it in the C locale {fix}"


def repeated_keys(keys: Sequence[str], fix: str) -> Iterator[str]:
    first_line: dict[str, int] = {}
    for line, key in enumerate(keys, start=1):
        if first_line.setdefault(key, line) != line and key:
            yield f":{line}: {key!r} stands on line {first_line[key]} already {fix}"


def speaker_problems(data_dir: Path, utterances: Sequence[str], speakers: Sequence[str], findings: Findings) -> None:
    """What keeps the order of the utterances from being the order of their speakers. No fix but new names mends it."""
    findings.add(data_dir / "utt2spk", foreign_prefixes(data_dir, utterances, speakers))
    findings.add(data_dir / "utt2spk", disordered_speakers(utterances, speakers))


def foreign_prefixes(data_dir: Path, utterances: Sequence[str], speakers: Sequence[str]) -> Iterator[str]:
    if all(map(str.startswith, utterances, speakers)):
        return
    rename = f"(run utils/copy_data_dir.sh --add-speaker-prefix true {data_dir} {data_dir}_renamed)"
    for line, (utterance, speaker) in enumerate(zip(utterances, speakers, strict=True), start=1):
        if not utterance.startswith(speaker):
            yield f":{line}: speaker {speaker!r} is not a prefix of utterance {utterance!r} {rename}"


def disordered_speakers(utterances: Sequence[str], speakers: Sequence[str]) -> Iterator[str]:
    """Sorted utterances whose speakers are not: only where a speaker's id begins another's (a, a-b)."""
    if all(map(operator.le, speakers, itertools.islice(speakers, 1, None))):
        return
    rows = zip(utterances, speakers, strict=True)
    for line, ((before, speaker_before), (utterance, speaker)) in enumerate(itertools.pairwise(rows), start=2):
        prefixes_hold = before.startswith(speaker_before) and utterance.startswith(speaker)
        if prefixes_hold and before < utterance and speaker < speaker_before:
            yield (
                f":{line}: utterance {utterance!r} sorts after {before!r}, but its speaker {speaker!r} before "
                f"{speaker_before!r} (rename one: no speaker's id should begin another's)"
            )


def different_keys(path: Path, keys: list[str], expected: list[str]) -> Iterator[str]:
    if keys == expected:
        return
    unit, source = "utterances", "utt2spk"
    if path.name in RECORDING_FILES and (path.parent / "segments").exists():
        unit, source = "recordings", "segments"
    elif path.name in SPEAKER_FILES:
        unit = "speakers"
    present = [key for key in distinct(keys) if key]
    values, strangers = align(present, present, expected)
    lacking = [key for key, value in zip(expected, values, strict=True) if value is None]
    fix = f"(run utils/fix_data_dir.sh {path.parent})"
    if lacking and path.name not in SPARSE_FILES:
        yield f": lacks {unit} of {source}, {count_and_name(lacking)} {fix}"
    if strangers:
        yield f": has {unit} that are not in {source}, {count_and_name(strangers)} {fix}"


def check_spk2utt(path: Path, expected: dict[str, str], checks: Checks, findings: Findings) -> None:
    fix = f"(run utils/fix_data_dir.sh {path.parent})"
    if not path.exists():
        findings.add(path, [f": no such file {fix}"])
        return
    speakers, groups = check_table(path, checks, findings)
    findings.add(path, different_keys(path, speakers, list(expected)))
    findings.add(
        path,
        (
            f":{line}: speaker {speaker!r} does not have the utterances that utt2spk gives it {fix}"
            for line, (speaker, group) in enumerate(zip(speakers, groups, strict=True), start=1)
            if speaker in expected and group != expected[speaker]
        ),
    )


def check_pointers(path: Path, keys: list[str], values: list[str], checks: Checks, findings: Findings) -> None:
    """Commands where files are wanted, and files that are not there."""
    pipes = [value for value in values if value.endswith("|")]
    if pipes and not checks.allow_pipes:
        findings.add(
            path,
            (
                f":{line}: {key!r} is a command, {value!r} (--allow-pipes true lets it pass, if you trust it)"
                for line, (key, value) in enumerate(zip(keys, values, strict=True), start=1)
                if value.endswith("|")
            ),
        )
    if not checks.files_exist:
        return
    missing = missing_files(path.name, values)
    if missing:
        drop = f"(restore it, or drop what needs it with utils/fix_data_dir.sh --drop-missing-files true {path.parent})"
        findings.add(
            path,
            (
                f":{line}: {key!r}: no such file: {missing[value]} {drop}"
                for line, (key, value) in enumerate(zip(keys, values, strict=True), start=1)
                if value in missing
            ),
        )


def missing_files(name: str, values: Sequence[str]) -> dict[str, str]:
    """{value: its file} for the values of a table of files (commands apart) whose file is not there."""
    is_file = lru_cache(FILES_REMEMBERED)(os.path.isfile)  # a Path a file would be slow
    files = values if name == "wav.scp" else map(file_of, values)
    return {
        value: file
        for value, file in zip(values, files, strict=True)
        if file and not file.endswith("|") and not is_file(file)
    }


def file_of(pointer: str) -> str:
    """The file in `file:offset[range]`; a command stays as it is."""
    if pointer.endswith("|"):
        return pointer
    file, colon, offset = pointer.partition("[")[0].rpartition(":")
    return file if colon and offset.isdigit() else pointer
