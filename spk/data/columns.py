"""Text files of as many fields on every line: their columns as places in the text, without an object for each field."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spk.errors import InputError

OTHER_BLANKS = (b"\t", b"\r", b"\v", b"\f")
WORD = np.dtype("<u8")
FIRST_BYTES = np.array([(1 << 8 * size) - 1 for size in range(WORD.itemsize + 1)], WORD)
# Few enough that what is made of them stays in the processor's cache.
BYTES_AT_A_TIME = 1 << 20
FIELDS_AT_A_TIME = 1 << 14
LONGEST_HASHED = 256  # bytes: a file with longer names is not worth a pass over all fields for each of their words
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, its bits without pattern: 2^64 over the golden ratio


@dataclass(frozen=True)
class Columns:
    """Field f of line i is text[starts[i, f] : ends[i, f]], both [N, F]; the text ends with 8 bytes of padding."""

    text: bytes
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)

    def fields_of_line(self, line: int) -> list[str]:
        """The fields [F] of one line."""
        return decoded(self.text[self.starts[line, 0] : self.ends[line, -1]].split())

    def fields(self, column: int) -> list[bytes]:
        """The fields [N] of one column."""
        return self.cut(self.starts[:, column], self.ends[:, column])

    def cut(self, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> list[bytes]:
        """The pieces [n] of the text between these places."""
        return [self.text[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]

    def distinct(self, *columns: int) -> tuple[list[str], NDArray[np.int64]]:
        """The distinct fields of these columns in order of first appearance, and the number [C, N] of each field."""
        starts, ends = (places[:, columns].ravel() for places in (self.starts, self.ends))  # line by line
        grouped = None if (ends - starts).max() > LONGEST_HASHED else self.by_hash(starts, ends)
        if grouped is None:
            names, index = distinct_names(self.cut(starts, ends))
        else:
            firsts, index = grouped
            names = decoded(self.cut(starts[firsts], ends[firsts]))
        return names, np.ascontiguousarray(index.reshape(-1, len(columns)).T)

    def by_hash(
        self, starts: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """The first of each kind of fields, in order, and the kind [n] of each; None if two kinds have one hash."""
        lengths = ends - starts
        longest = int(lengths.max())
        blocks = [slice(first, first + FIELDS_AT_A_TIME) for first in range(0, len(starts), FIELDS_AT_A_TIME)]
        hashes = lengths.astype(np.uint64)
        for block in blocks:
            part = hashes[block]
            for words in self.words(starts[block], ends[block], longest):
                part ^= words
                part *= MULTIPLIER
                part ^= part >> np.uint64(32)
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        groups = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        firsts = order[groups]
        by_appearance = np.argsort(firsts)
        rank = np.empty_like(by_appearance)
        rank[by_appearance] = np.arange(len(rank))
        index = np.empty_like(order)
        index[order] = np.repeat(rank, np.diff(groups, append=len(order)))
        firsts = firsts[by_appearance]
        if not np.array_equal(lengths[firsts][index], lengths):
            return None
        words_of_kinds = list(self.words(starts[firsts], ends[firsts], longest))
        for block in blocks:
            both = zip(self.words(starts[block], ends[block], longest), words_of_kinds, strict=True)
            if not all(np.array_equal(words, kinds[index[block]]) for words, kinds in both):
                return None
        return firsts, index

    def words(self, starts: NDArray[np.int64], ends: NDArray[np.int64], longest: int) -> Iterator[NDArray[np.uint64]]:
        """[n] the first eight bytes of each field, then the next, to the end of the longest; 0 behind a field's end."""
        at_byte = np.ndarray(len(self.text) - WORD.itemsize + 1, WORD, self.text, strides=(1,))
        for first in range(0, longest, WORD.itemsize):
            sizes = np.clip(ends - starts - first, 0, WORD.itemsize)
            yield at_byte[np.minimum(starts + first, ends)] & FIRST_BYTES[sizes]


def read_columns(path: str | os.PathLike[str], number: int) -> Columns:
    """The columns of a file that has `number` fields on every line, with any blanks between them.

    Raises: InputError for a missing or empty file and `path:line: ...` for a line of fewer or more fields.
    """
    try:
        text = Path(path).read_bytes().removeprefix(codecs.BOM_UTF8)  # Windows programs begin a file with that mark
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the stage that makes it first") from None
    if not text or text.isspace():
        raise InputError(f"{path}: empty; it needs at least one line of {number} fields")
    if not text.endswith(b"\n"):
        text += b"\n"
    columns = columns_of_plain(text, number)
    if columns is not None:
        return columns
    lines = [line.split() for line in text.split(b"\n")[:-1]]
    for row, line in enumerate(lines, start=1):
        if len(line) != number:
            raise InputError(f"{path}:{row}: {len(line)} fields instead of {number}")
    columns = columns_of_plain(b"".join(b" ".join(line) + b"\n" for line in lines), number)
    assert columns is not None
    return columns


def columns_of_plain(text: bytes, number: int) -> Columns | None:
    """None unless every line is `number` fields with one space between them and nothing around them."""
    if any(blank in text for blank in OTHER_BLANKS):
        return None
    characters = np.frombuffer(text, np.uint8)
    blocks = range(0, len(characters), BYTES_AT_A_TIME)
    separators = np.concatenate(
        [start + separators_of(characters[start : start + BYTES_AT_A_TIME]) for start in blocks]
    )
    starts = np.concatenate([[0], separators[:-1] + 1])
    if len(separators) % number or (starts == separators).any():
        return None
    wanted = np.frombuffer(b" " * (number - 1) + b"\n", np.uint8)
    if not (characters[separators].reshape(-1, number) == wanted).all():
        return None
    return Columns(text + bytes(WORD.itemsize), starts.reshape(-1, number), separators.reshape(-1, number))


def separators_of(characters: NDArray[np.uint8]) -> NDArray[np.int64]:
    return np.flatnonzero((characters == ord(" ")) | (characters == ord("\n")))


def distinct_names(tokens: list[bytes]) -> tuple[list[str], NDArray[np.int64]]:
    """The distinct names in order of first appearance, and for each token its index [len(tokens)] among them."""
    indices = dict.fromkeys(tokens)
    indices = dict(zip(indices, range(len(indices)), strict=True))
    return decoded(indices), np.fromiter(map(indices.__getitem__, tokens), np.int64, len(tokens))


def decoded(names: Iterable[bytes]) -> list[str]:
    return b"\n".join(names).decode("utf-8", "surrogateescape").split("\n")
