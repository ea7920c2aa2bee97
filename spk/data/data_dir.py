"""Kaldi data directories: tables of one `key rest` a line, in files that have the same names everywhere."""

from __future__ import annotations

import itertools
import operator
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

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
    "utt2augmentation",
)
# Tables that need not have all their keys: an utterance without a line in utt2augmentation is as it was recorded.
SPARSE_FILES = ("utt2augmentation",)
# Keyed by recording. A recording is an utterance unless `segments` says which part of which recording an utterance is.
RECORDING_FILES = ("wav.scp", "reco2dur")
# Keyed by speaker. spk2utt is derived from utt2spk.
SPEAKER_FILES = ("spk2utt", "spk2gender", "spk2nationality", "cmvn.scp")
# About the directory as a whole: the frame shift in seconds, and the front end that made feats.scp.
DIRECTORY_FILES = ("frame_shift", "feats.yaml")

LINES_AT_A_TIME = 4096
BYTES_AT_A_TIME = 1 << 17
KEYS_AT_A_TIME = 256
BLANK_THEN_NEWLINE = int.from_bytes(b" \n", "little")
Item = TypeVar("Item")
Number = TypeVar("Number", int, float)


def parse_columns(content: bytes) -> tuple[list[str], list[str]]:
    """The first word of each line, and the rest of the line without blanks at its ends.

    Where a line has no rest the value is '', and where it is empty both are; so the index of an item plus one is its
    line number. Bytes that are not UTF-8 (file names may be anything) survive through surrogate escapes.
    """
    keys, values = [], []
    for block in blocks_of(content):
        words = [""]
        if has_two_words_a_line(block):
            words = block.decode("utf-8", "surrogateescape").removesuffix("\n").replace("\n", " ").split(" ")
        block_keys, block_values = split_lines(lines_of(block)) if "" in words else (words[0::2], words[1::2])
        keys += block_keys
        values += block_values
    return keys, values


def blocks_of(content: bytes) -> Iterator[bytes]:
    """Whole lines at a time, few enough that what is made of them on the way stays in the processor's caches."""
    start = 0
    while start < len(content):
        near = start + BYTES_AT_A_TIME
        end = content.rfind(b"\n", start, near) + 1 or content.find(b"\n", near) + 1 or len(content)
        yield content[start:end]
        start = end


def has_two_words_a_line(content: bytes) -> bool:
    """Whether a blank and a newline take turns, with no tabs and the like, as in most tables; words may be empty."""
    characters = np.frombuffer(content if content.endswith(b"\n") else content + b"\n", np.uint8)
    separators = characters[characters <= ord(" ")]
    return len(separators) % 2 == 0 and bool((separators.view("<u2") == BLANK_THEN_NEWLINE).all())


def lines_of(content: bytes) -> list[bytes]:
    lines = content.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return lines


def split_lines(lines: Iterable[bytes]) -> tuple[list[str], list[str]]:
    """As parse_columns, for lines."""
    keys, values = [], []
    add_key, add_value = keys.append, values.append
    for line in lines:
        try:
            key, value = line.split(None, 1)
        except ValueError:
            key, value = line.strip(), b""
        add_key(key.decode("utf-8", "surrogateescape"))
        add_value(value.rstrip().decode("utf-8", "surrogateescape"))
    return keys, values


def strictly_sorted(keys: Sequence[str]) -> bool:
    """In the order of the C locale, and none twice."""
    return all(map(operator.lt, keys, itertools.islice(keys, 1, None)))


def distinct(names: Iterable[str]) -> list[str]:
    """Each name once, sorted. Where equal ones are neighbours and all are sorted, nothing is looked up."""
    runs = [name for name, _ in itertools.groupby(names)]
    return runs if strictly_sorted(runs) else sorted(set(runs))


def read_table(path: str | os.PathLike[str]) -> dict[str, str]:
    """{first word: rest of the line} in the order of the file.

    Raises InputError with file and line for an empty line, a key without a value, or a key that comes twice.
    """
    keys, values = parse_columns(Path(path).read_bytes())
    table = dict(zip(keys, values, strict=True))
    if len(table) != len(keys) or "" in values:
        raise InputError(f"{path}{first_fault(keys, values)}{fix_hint(path)}")
    return table


def read_columns(path: str | os.PathLike[str]) -> tuple[list[str], list[str]]:
    """As read_table, but (first words, rests of the lines): where the file is sorted, no name is looked up."""
    keys, values = parse_columns(Path(path).read_bytes())
    if "" in values or not (strictly_sorted(keys) or len(set(keys)) == len(keys)):
        raise InputError(f"{path}{first_fault(keys, values)}{fix_hint(path)}")
    return keys, values


def read_sorted(path: str | os.PathLike[str]) -> tuple[list[str], list[str]]:
    """As read_columns, sorted."""
    return sort_columns(*read_columns(path))


def sort_columns(keys: list[str], values: list[str]) -> tuple[list[str], list[str]]:
    """Both columns in the order of the keys, as they are where this is their order."""
    if strictly_sorted(keys):
        return keys, values
    order = sorted(range(len(keys)), key=keys.__getitem__)
    return at(keys, order), at(values, order)


def at(items: Sequence[Item], rows: Iterable[int]) -> list[Item]:
    """The items in these rows."""
    return list(map(items.__getitem__, rows))


def numbers_of(
    path: Path, keys: Sequence[str], values: Sequence[str], number: Callable[[str], Number], maker: str
) -> list[Number]:
    """The values of a table as numbers, by int or float. Raises: InputError for the first that is none.

    `maker` is the command to make the table by.
    """
    try:
        return list(map(number, values))
    except ValueError:
        pass
    for key, value in zip(keys, values, strict=True):
        try:
            number(value)
        except ValueError:
            raise InputError(f"{path}: {key!r} has {value!r}, which is no number; run {maker} {path.parent}") from None
    raise AssertionError("every value is a number")


def rows_of(keys: list[str], wanted: Iterable[str]) -> tuple[list[int], list[str]]:
    """In which rows of the sorted keys those stand that are wanted, and which do not stand there; both sorted."""
    wanted = distinct(wanted)
    rows, _ = align(keys, range(len(keys)), wanted)
    unknown = [key for key, row in zip(wanted, rows, strict=True) if row is None]
    return [row for row in rows if row is not None] if unknown else list(rows), unknown


def values_of(keys: list[str], values: list[str], wanted: list[str]) -> list[str | None]:
    """A table's values for the keys that are wanted, in any order, None where it has none. No key may come twice."""
    if strictly_sorted(wanted):
        return align(keys, values, wanted)[0]
    return list(map(dict(zip(keys, values, strict=True)).get, wanted))


def align(keys: list[str], values: Sequence[Item], expected: list[str]) -> tuple[Sequence[Item | None], list[str]]:
    """A table's values for the sorted keys that are expected, None where it has none; and its keys beyond these.

    No key may come twice.
    """
    if keys == expected:
        return values, []
    keys, values = sort_columns(keys, values)
    # Both are sorted: walking along them is several times faster than looking up a million strings in a dict.
    aligned, strangers = [], []
    row, num_rows = 0, len(keys)
    for start in range(0, len(expected), KEYS_AT_A_TIME):
        block = expected[start : start + KEYS_AT_A_TIME]
        if keys[row : row + len(block)] == block:  # as most, where a table lacks some
            aligned += values[row : row + len(block)]
            row += len(block)
            continue
        for wanted in block:
            while row < num_rows and keys[row] < wanted:
                strangers.append(keys[row])
                row += 1
            if row < num_rows and keys[row] == wanted:
                aligned.append(values[row])
                row += 1
            else:
                aligned.append(None)
    return aligned, strangers + keys[row:]


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


def encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def write_table(path: str | os.PathLike[str], table: Mapping[str, str]) -> None:
    """Write a table; the file appears whole or not at all.

    It is sorted as in the C locale: by bytes, which in UTF-8 is the order of Python's strings.
    """
    write_columns(path, *sort_columns(list(table), list(table.values())))


def write_columns(path: str | os.PathLike[str], keys: Iterable[str], values: Sequence[str | None]) -> None:
    """As write_table, for columns that are sorted; a key whose value is None has no line."""
    rows = zip(keys, values, strict=True)
    with whole_file(path, "wb") as file:
        file.writelines(blocks_of_lines((row for row in rows if row[1] is not None) if None in values else rows))


def blocks_of_lines(rows: Iterable[tuple[str, str]]) -> Iterator[bytes]:
    """The lines of a table with these keys and values, many at a time."""
    rows = iter(rows)
    while block := "\n".join(map(" ".join, itertools.islice(rows, LINES_AT_A_TIME))):
        yield encode(f"{block}\n")


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    with whole_file(path, "wb") as file:
        file.write(content)


def speakers_to_utterances(utt2spk: Mapping[str, str]) -> dict[str, str]:
    """spk2utt, sorted: {speaker: its utterances, sorted, with blanks between}."""
    return group_by_speaker(*sort_columns(list(utt2spk), list(utt2spk.values())))


def group_by_speaker(utterances: Iterable[str], speakers: Iterable[str]) -> dict[str, str]:
    """As speakers_to_utterances, for the columns of a utt2spk that is sorted."""
    groups: dict[str, list[str]] = defaultdict(list)
    for utterance, speaker in zip(utterances, speakers, strict=True):
        groups[speaker].append(utterance)
    return {speaker: " ".join(groups[speaker]) for speaker in sorted(groups)}


def check_source(data_dir: Path, destination: Path | None = None) -> None:
    """InputError when `data_dir` is no data directory, or when it is what is to be written."""
    if not (data_dir / "utt2spk").exists():
        raise InputError(f"{data_dir / 'utt2spk'}: no such file; {data_dir} is not a data directory")
    if destination is not None and destination.resolve() == data_dir.resolve():
        raise InputError(f"{destination}: is the source, too; name another directory to write")


def owners_of_recordings(data_dir: Path, utterances: list[str]) -> list[str]:
    """Of which recording each of these sorted utterances is a part, by `segments` if any; '' where it lacks one."""
    if not (data_dir / "segments").exists():
        return utterances
    return [recording_of(value) if value else "" for value in read_aligned(data_dir / "segments", utterances)[0]]


def recording_of(segment: str) -> str:
    """Of which recording it is, by what `segments` says of an utterance; '' where it says nothing."""
    return next(iter(segment.split()), "")


def write_parts(
    source: Path, utterances: list[str], speakers: list[str], parts: Sequence[tuple[Path, Sequence[int]]]
) -> list[str]:
    """Write data directories, each (where, its utterances), with those lines of `source` that belong to them.

    `utterances` and `speakers` are the columns of its utt2spk, sorted, and those of a part the rows there, in their
    order. A table may lack utterances (those without features, say); then so do the parts. One table at a time is in
    memory. Returns a line about each table of `source` with keys that do not come from utt2spk: they are in no part.
    """
    recordings = owners_of_recordings(source, utterances)
    left_out, written = [], []
    for names, owners in ((UTTERANCE_FILES, utterances), (RECORDING_FILES, recordings), (SPEAKER_FILES, speakers)):
        keys, rows_of_parts = utterances, [rows for _, rows in parts]
        if owners is not utterances:
            keys = distinct(owners)
            row_of = {key: row for row, key in enumerate(keys)}
            rows_of_parts = [[row_of[key] for key in distinct(at(owners, rows))] for rows in rows_of_parts]
        for name in names:
            if name == "spk2utt" or not (source / name).exists():
                continue
            values, strangers = read_aligned(source / name, keys)
            if strangers:
                left_out.append(left_out_note(source / name, strangers))
            for (destination, _), rows in zip(parts, rows_of_parts, strict=True):
                write_columns(destination / name, at(keys, rows), at(values, rows))
            written.append(name)
    directory_files = directory_files_of(source)
    for destination, rows in parts:
        spk2utt = group_by_speaker(at(utterances, rows), at(speakers, rows))
        complete_data_dir(destination, spk2utt, written, directory_files)
    return left_out


def write_part(source: Path, destination: Path, chosen: Iterable[str]) -> list[str]:
    """As write_parts, for one part: those of the chosen utterances that `source` has."""
    utterances, speakers = read_sorted(source / "utt2spk")
    rows, _ = rows_of(utterances, chosen)
    return write_parts(source, utterances, speakers, [(destination, rows)])


def read_aligned(path: Path, expected: list[str]) -> tuple[list[str | None], list[str]]:
    """`align` for a file; InputError as read_table."""
    return align(*read_columns(path), expected)


def left_out_note(path: Path, strangers: Collection[str]) -> str:
    return f"{path}: left out, as utt2spk does not have them: {count_and_name(strangers)}"


def complete_data_dir(
    destination: Path, spk2utt: Mapping[str, str], written: Iterable[str], directory_files: Mapping[str, bytes]
) -> None:
    """After the tables that were `written`: spk2utt and the files about the directory as a whole; nothing left of old.

    Of what stood there before, only files of a data directory are removed; trial lists, logs and arks are left alone.
    """
    write_table(destination / "spk2utt", spk2utt)
    for name, content in directory_files.items():
        write_whole(destination / name, content)
    all_names = {*UTTERANCE_FILES, *RECORDING_FILES, *SPEAKER_FILES, *DIRECTORY_FILES}
    for name in all_names - {"spk2utt", *written, *directory_files}:
        (destination / name).unlink(missing_ok=True)


def directory_files_of(data_dir: Path) -> dict[str, bytes]:
    """{name: content} of the files about the directory as a whole."""
    paths = [data_dir / name for name in DIRECTORY_FILES]
    return {path.name: path.read_bytes() for path in paths if path.exists()}


def trial_lists(data_dir: Path) -> list[Path]:
    """`trials` and `trials_<name>`."""
    return sorted(path for path in data_dir.glob("trials*") if path.is_file())


def model_lists(data_dir: Path) -> list[Path]:
    """`models_<name>`: of which utterances the models are that trials_<name> or trials_<name>-<tests> enrol."""
    return sorted(path for path in data_dir.glob("models_*") if path.is_file())


def first_names(names: Sequence[str], shown: int = 5) -> str:
    """'a, b, c, d, e, ...': the first few, in their order."""
    return ", ".join(names[:shown]) + ", ..." * (len(names) > shown)


def count_and_name(names: Collection[str], shown: int = 5) -> str:
    """'7: a b c d e ...': how many, and the first few."""
    return f"{len(names)}: {' '.join(sorted(names)[:shown])}{' ...' if len(names) > shown else ''}"
