"""Kaldi's objects, files of tokens, numbers, vectors and matrices (PLDA, GMMs, i-vector extractors), binary or text.

    binary      \\0B, then one after another, little-endian:
                token    its characters and a space
                number   a byte 4 and an int32 or float32, or a byte 8 and a float64
                vector   FV or DV, and
                matrix   FM or DM, as spk/data/ark_format.py has them
                packed   FP or DP: a byte 4, int32 rows, the lower triangle of a symmetric matrix row by row
    text        all between white space; a vector '[ 1 2 ]', a matrix with a line a row, a packed one with growing lines
Source: what Kaldi's programs write (ivector-copy-plda, gmm-global-copy, ivector-extractor-copy).
"""

from __future__ import annotations

import mmap
import os
import re
import struct
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spk.errors import InputError

LONGEST_TOKEN = 64  # in bytes, for telling a token from other data
_SPACES = re.compile(rb"\s*")
_BINARY_TOKEN = re.compile(rb"([!-~]{1,%d}) " % LONGEST_TOKEN)
_TEXT_TOKEN = re.compile(rb"\s*([!-~]{1,%d})(?=\s|$)" % LONGEST_TOKEN)
_DTYPES = {b"F": np.dtype("<f4"), b"D": np.dtype("<f8")}


def open_object(path: str | os.PathLike[str]) -> ObjectReader:
    """A reader at the start of a file, which may be binary or text. Raises: InputError for a missing or empty file."""
    try:
        with Path(path).open("rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise InputError(f"{path}: is empty; make it again")
            return ObjectReader(path, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a directory; give the file in it") from None


class ObjectReader:
    """Takes one part after another from a file; every method raises InputError naming what it expected and found."""

    def __init__(self, path: str | os.PathLike[str], data: mmap.mmap) -> None:
        self.path = os.fspath(path)
        self.binary = data[:2] == b"\0B"
        self._data = data
        self._at = 2 if self.binary else 0

    def peek(self) -> str:
        """The next token, which stays the next; '' where none follows, as at the end."""
        match = self._match_token()
        return match[1].decode("ascii") if match else ""

    def token(self) -> str:
        match = self._match_token()
        if match is None:
            raise self._error("a token")
        self._at = match.end()
        return match[1].decode("ascii")

    def expect(self, *tokens: str) -> None:
        """Take these tokens."""
        for token in tokens:
            if self.peek() != token:
                raise self._error(token)
            self.token()

    def integer(self) -> int:
        """int32, or a whole number in text."""
        if self.binary:
            return self._unpack({4: "<i"}, "a whole number")
        return int(self._text_number(int, "a whole number"))

    def number(self) -> float:
        """float32 or float64, or any number in text."""
        return self._unpack({4: "<f", 8: "<d"}, "a number") if self.binary else self._text_number(float, "a number")

    def vector(self) -> NDArray[np.float64]:
        """[D]"""
        if self.binary:
            dtype = self._kind(b"V", "a vector")
            return self._values(self._size("a vector"), dtype, "a vector")
        rows, end = self._text_rows("a vector")
        if len(rows) > 1:
            raise self._error("a vector")
        self._at = end
        return rows[0] if rows else np.empty(0)

    def matrix(self) -> NDArray[np.float64]:
        """[R, C]"""
        if self.binary:
            dtype = self._kind(b"M", "a matrix")
            rows, columns = self._size("a matrix"), self._size("a matrix")
            return self._values(rows * columns, dtype, "a matrix").reshape(rows, columns)
        lines, end = self._text_rows("a matrix")
        if len({len(line) for line in lines}) > 1:
            raise self._error("a matrix with as many values in every row")
        self._at = end
        return np.stack(lines) if lines else np.empty((0, 0))

    def packed(self) -> NDArray[np.float64]:
        """[D, D], symmetric; the file has the lower triangle."""
        what = "a packed symmetric matrix"
        if self.binary:
            dtype = self._kind(b"P", what)
            dim = self._size(what)
            values = self._values(dim * (dim + 1) // 2, dtype, what)
        else:
            lines, end = self._text_rows(what)
            dim = len(lines)
            if [len(line) for line in lines] != list(range(1, dim + 1)):
                raise self._error(what)
            self._at = end
            values = np.concatenate(lines) if lines else np.empty(0)
        matrix = np.zeros((dim, dim))
        rows, columns = np.tril_indices(dim)
        matrix[rows, columns] = matrix[columns, rows] = values
        return matrix

    def _match_token(self) -> re.Match[bytes] | None:
        return (_BINARY_TOKEN if self.binary else _TEXT_TOKEN).match(self._data, self._at)

    def _unpack(self, formats: dict[int, str], what: str) -> float:
        size = self._data[self._at] if self._at < len(self._data) else 0
        if size not in formats or self._at + 1 + size > len(self._data):
            raise self._error(what)
        (value,) = struct.unpack_from(formats[size], self._data, self._at + 1)
        self._at += 1 + size
        return value

    def _size(self, what: str) -> int:
        size = self._unpack({4: "<i"}, f"the size of {what}")
        if size < 0:
            raise InputError(f"{self.path}: before byte {self._at}: {what} has the size {size}; the file is damaged")
        return int(size)

    def _kind(self, letter: bytes, what: str) -> np.dtype:
        token = self._data[self._at : self._at + 3]
        if token[1:] != letter + b" " or token[:1] not in _DTYPES:
            raise self._error(what)
        self._at += 3
        return _DTYPES[token[:1]]

    def _values(self, count: int, dtype: np.dtype, what: str) -> NDArray[np.float64]:
        end = self._at + count * dtype.itemsize
        if end > len(self._data):
            raise InputError(
                f"{self.path}: {what} ends at byte {end}, but the file has {len(self._data)}: it is truncated or "
                "damaged"
            )
        values = np.frombuffer(self._data, dtype, count, self._at) if count else np.empty(0)
        self._at = end
        return values.astype(np.float64)

    def _text_number(self, convert: type[int] | type[float], what: str) -> float:
        match = self._match_token()
        try:
            value = convert(match[1]) if match else None
        except ValueError:
            value = None
        if value is None:
            raise self._error(what)
        self._at = match.end()
        return value

    def _text_rows(self, what: str) -> tuple[list[NDArray[np.float64]], int]:
        """The lines between '[' and ']', and where the file goes on."""
        start = _SPACES.match(self._data, self._at).end()
        end = self._data.find(b"]", start)
        if self._data[start : start + 1] != b"[" or end < 0:
            raise self._error(what)
        try:
            rows = [np.array(line.split(), np.float64) for line in self._data[start + 1 : end].strip().splitlines()]
        except ValueError:
            raise self._error(what) from None
        return rows, end + 1

    def _error(self, expected: str) -> InputError:
        start = self._at if self.binary else _SPACES.match(self._data, self._at).end()
        found = self._data[start : start + 24].decode("ascii", "replace")
        line = self._data[:start].count(b"\n") + 1
        where = f"byte {start}" if self.binary else f"line {line}"
        found = f"found {found!r}" if found else "the file ends there"
        return InputError(f"{self.path}: {where}: expected {expected}, {found}; the file is damaged or of another kind")


class ObjectWriter:
    """Writes one part after another to a file opened in mode 'wb'; in text, digits enough to tell the values apart.

    `double`: numbers, vectors and matrices are float64, not float32.
    """

    def __init__(self, file: IO[bytes], binary: bool = True, double: bool = False) -> None:
        self._file, self.binary, self._double = file, binary, double
        self._dtype, self._letter = _DTYPES[b"D" if double else b"F"], b"D" if double else b"F"
        if binary:
            file.write(b"\0B")

    def token(self, *tokens: str) -> None:
        for token in tokens:
            self._file.write(token.encode("ascii") + b" ")

    def integer(self, value: int) -> None:
        self._file.write(struct.pack("<bi", 4, value) if self.binary else b"%d " % value)

    def number(self, value: float) -> None:
        packing = "<bd" if self._double else "<bf"
        self._file.write(
            struct.pack(packing, self._dtype.itemsize, value) if self.binary else self._text(np.array([value]))
        )

    def vector(self, values: ArrayLike) -> None:
        """[D]"""
        values = np.asarray(values, self._dtype)
        if self.binary:
            self._file.write(self._letter + b"V " + struct.pack("<bi", 4, len(values)) + values.tobytes())
        else:
            self._file.write(b" [ " + self._text(values) + b"]\n")

    def matrix(self, values: ArrayLike) -> None:
        """[R, C]"""
        values = np.asarray(values, self._dtype)
        if self.binary:
            sizes = struct.pack("<bibi", 4, values.shape[0], 4, values.shape[1])
            self._file.write(self._letter + b"M " + sizes + values.tobytes())
        else:
            rows = b"".join(b"\n  " + self._text(row) for row in values)
            self._file.write(b" [" + (rows or b" ") + b"]\n")

    def packed(self, values: ArrayLike) -> None:
        """[D, D], of which the lower triangle is written."""
        values = np.asarray(values, self._dtype)
        if self.binary:
            triangle = values[np.tril_indices(len(values))]
            self._file.write(self._letter + b"P " + struct.pack("<bi", 4, len(values)) + triangle.tobytes())
        else:
            rows = b"".join(self._text(row[: index + 1]) + b"\n" for index, row in enumerate(values))
            self._file.write(b"[\n" + rows + b"]\n")

    def _text(self, values: NDArray[np.floating]) -> bytes:
        return "".join(f"{value} " for value in values.astype(self._dtype).astype(str)).encode("ascii")
