"""The bytes of Kaldi's binary matrices and vectors, compressed ones included: headers, decoding, encoding.

A record in an ark is `utterance SPACE \\0B KIND ...`, and an scp points at the \\0B. All numbers are little-endian.
    FM, DM   \\4 int32 rows, \\4 int32 columns, float32 or float64 values, row by row
    FV, DV   \\4 int32 length, values
    CM2, CM3 float32 least, float32 range, int32 rows, int32 columns; uint16 or uint8 codes, row by row:
             value = least + range * code / (65535 or 255)
    CM       the same header; per column four uint16 for the 0th, 25th, 75th and 100th percentile (coded as in CM2);
             uint8 codes column by column, linear between the percentiles at codes 0, 64, 192 and 255
Source: the format of kaldi-asr/kaldi src/matrix/compressed-matrix.h, and what its programs write.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

import numpy as np


class Kind(enum.IntEnum):
    """What a record holds. The numbers are this program's own, for arrays of kinds."""

    FM = 1
    DM = 2
    FV = 3
    DV = 4
    CM = 5
    CM2 = 6
    CM3 = 7


# The dtype of the values, one after another in the file.
DTYPES = {
    Kind.FM: np.dtype("<f4"),
    Kind.DM: np.dtype("<f8"),
    Kind.FV: np.dtype("<f4"),
    Kind.DV: np.dtype("<f8"),
    Kind.CM: np.dtype("u1"),
    Kind.CM2: np.dtype("<u2"),
    Kind.CM3: np.dtype("u1"),
}
COMPRESSED = (Kind.CM, Kind.CM2, Kind.CM3)
LONGEST_HEADER = 2 + 4 + 16
CODES_BETWEEN_PERCENTILES = (64, 128, 63)  # from one of CM's percentiles to the next
SHARES_OF_A_CODE = 1 / np.array(CODES_BETWEEN_PERCENTILES, np.float32)

_MATRIX = struct.Struct("<bibi")
_VECTOR = struct.Struct("<bi")
_COMPRESSED = struct.Struct("<ffii")


@dataclass(frozen=True, slots=True)
class Header:
    """Where a record's values lie. A vector of length n is n rows of one column."""

    kind: Kind
    rows: int
    columns: int
    least: float  # of compressed matrices
    range: float
    size: int  # bytes from \0B to the first value (CM: to the percentiles)

    @property
    def end(self) -> int:
        """Bytes from \0B to the end of the record."""
        percentiles = 8 * self.columns if self.kind == Kind.CM else 0
        return self.size + percentiles + self.rows * self.columns * DTYPES[self.kind].itemsize


def parse_header(start: bytes) -> Header:
    """The header that the bytes at an scp's offset begin with. ValueError says why they are none."""
    if start[:2] != b"\0B":
        raise ValueError("no binary matrix begins there")
    token, space, _ = bytes(start[2:6]).partition(b" ")
    try:
        kind = Kind[token.decode("ascii")]
    except (KeyError, UnicodeDecodeError):
        raise ValueError(f"no known kind of matrix: {token!r}") from None
    at = 2 + len(token) + len(space)
    try:
        if kind in COMPRESSED:
            least, value_range, rows, columns = _COMPRESSED.unpack_from(start, at)
            header = Header(kind, rows, columns, least, value_range, at + _COMPRESSED.size)
        elif kind in (Kind.FV, Kind.DV):
            width, rows = _VECTOR.unpack_from(start, at)
            header = Header(kind, rows, 1, 0.0, 0.0, at + _VECTOR.size)
        else:
            width, rows, width_of_columns, columns = _MATRIX.unpack_from(start, at)
            header = Header(kind, rows, columns, 0.0, 0.0, at + _MATRIX.size)
            width = width if width == width_of_columns else 0
    except struct.error:
        raise ValueError("the file ends within the header") from None
    if header.rows < 0 or header.columns < 0 or (kind not in COMPRESSED and width != 4):
        raise ValueError("the header is damaged")
    return header


def code_steps(kind: Kind, value_range: np.ndarray) -> np.ndarray:
    """What one more in a code adds to the value (of CM: to a percentile), float32 [B] of the ranges float32 [B]."""
    if kind not in COMPRESSED:
        return np.ones_like(value_range)
    if kind == Kind.CM:
        return value_range * np.float32(1 / 65535)
    return (value_range.astype(np.float64) * (1 / np.iinfo(DTYPES[kind]).max)).astype(np.float32)


def decode_percentiles(codes: np.ndarray, least: np.ndarray, value_range: np.ndarray) -> np.ndarray:
    """CM's percentiles: uint16 codes [B, F, 4] with least and range float32 [B] -> float32 [B, F, 4]."""
    return least[:, None, None] + code_steps(Kind.CM, value_range)[:, None, None] * codes.astype(np.float32)


def decode_cm(codes_BFL: np.ndarray, percentiles_BF4: np.ndarray) -> np.ndarray:
    """CM's uint8 codes and the percentiles of their columns -> float32 values [B, F, L].

    value = p0 + s1 min(code, 64) + s2 min(max(code - 64, 0), 128) + s3 max(code - 192, 0), s the slopes between
    percentiles: Kaldi's three cases without a branch, equal to its values within float32 rounding.
    """
    slopes_BF3 = np.diff(percentiles_BF4, axis=2) * SHARES_OF_A_CODE
    steps, values = np.empty_like(codes_BFL), np.empty(codes_BFL.shape, np.float32)
    total = np.empty(codes_BFL.shape, np.float32)
    np.copyto(total, percentiles_BF4[:, :, :1])
    first = 0
    for segment, width in enumerate(CODES_BETWEEN_PERCENTILES):
        np.clip(codes_BFL, np.uint8(first), np.uint8(first + width), out=steps)
        steps -= np.uint8(first)
        np.copyto(values, steps)  # faster than a product of both types
        values *= slopes_BF3[:, :, segment : segment + 1]
        total += values
        first += width
    return total


def decode_linear(codes: np.ndarray, least: np.ndarray, value_range: np.ndarray) -> np.ndarray:
    """CM2's or CM3's codes [B, L, F] with least and range float32 [B] -> float32 values [B, L, F]."""
    kind = Kind.CM2 if codes.dtype.itemsize == 2 else Kind.CM3
    values = codes.astype(np.float32)
    values *= code_steps(kind, value_range)[:, None, None]
    values += least[:, None, None]
    return values


# --- encoding

# Kaldi's numbers for --compression-method -> the kind it makes and, where the method fixes them, least and range.
METHODS: dict[int, tuple[Kind, float | None, float | None]] = {
    2: (Kind.CM, None, None),  # speech features: percentiles per column
    3: (Kind.CM2, None, None),  # 16 bits from the least to the largest value
    4: (Kind.CM2, -32768.0, 65535.0),  # 16 bits, whole numbers from -32768
    5: (Kind.CM3, None, None),  # 8 bits from the least to the largest value
    6: (Kind.CM3, 0.0, 255.0),  # 8 bits, whole numbers from 0
    7: (Kind.CM3, 0.0, 1.0),  # 8 bits, 0 to 1
}
NO_COMPRESSION, AUTOMATIC = 0, 1
COMPRESSION_METHODS = (NO_COMPRESSION, AUTOMATIC, *METHODS)
FEW_ROWS = 8  # at most so many: percentiles would cost more than they save, and the automatic method takes 16 bits


def encode_matrix(matrix: np.ndarray, method: int = NO_COMPRESSION) -> bytes:
    """The record of a matrix from \\0B on: float32 (method 0), or compressed by Kaldi's method, byte for byte as Kaldi.

    `matrix`: [T, F], finite. Raises ValueError for another shape, an unknown method, or values that are not finite.
    """
    matrix = np.asarray(matrix, dtype=np.float32)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise ValueError(f"a matrix with rows and columns is needed, not one of shape {matrix.shape}")
    if method == AUTOMATIC:
        method = 2 if len(matrix) > FEW_ROWS else 3
    if method != NO_COMPRESSION and method not in METHODS:
        raise ValueError(f"no compression method has the number {method}")
    least, largest = matrix.min(), matrix.max()
    if not (np.isfinite(least) and np.isfinite(largest)):  # a value that is no number makes both so
        raise ValueError("the matrix holds values that are not finite")
    if method == NO_COMPRESSION:
        rows, columns = matrix.shape
        return b"\0BFM " + _MATRIX.pack(4, rows, 4, columns) + matrix.astype("<f4").tobytes()
    return _compress(matrix, method, least, largest)


def _compress(matrix: np.ndarray, method: int, least: np.float32, largest: np.float32) -> bytes:
    kind, fixed_least, fixed_range = METHODS[method]
    if fixed_least is None:
        value_range = largest - least if largest > least else np.float32(1) + abs(least)
    else:
        least, value_range = np.float32(fixed_least), np.float32(fixed_range)
    record = f"\0B{kind.name} ".encode() + _COMPRESSED.pack(least, value_range, *matrix.shape)
    if kind != Kind.CM:
        return record + _codes(matrix, least, value_range, DTYPES[kind]).tobytes()
    columns_FT = np.ascontiguousarray(matrix.T)
    percentile_codes = _percentile_codes(columns_FT, least, value_range)
    header = decode_percentiles(percentile_codes[None], least[None], value_range[None])[0]
    return record + percentile_codes.tobytes() + _codes_between(columns_FT, header).tobytes()


def _codes(values: np.ndarray, least: np.float32, value_range: np.float32, dtype: np.dtype) -> np.ndarray:
    """Linear codes, rounded. 0.499 is Kaldi's: halves round down."""
    fraction = np.clip((values - least) / value_range, np.float32(0), np.float32(1))
    return ((fraction * np.float32(np.iinfo(dtype).max)).astype(np.float64) + 0.499).astype(dtype)


def _percentile_codes(columns_FT: np.ndarray, least: np.float32, value_range: np.float32) -> np.ndarray:
    """uint16 [F, 4]: rank 0, a quarter, three quarters and the last of each column, kept apart by at least one code."""
    num_columns, rows = columns_FT.shape
    ranks = [0, rows // 4, 3 * (rows // 4), rows - 1] if rows >= 5 else list(range(rows))
    percentiles = np.sort(columns_FT, axis=1)[:, ranks]  # a partition by several ranks takes longer
    codes = np.zeros((4, num_columns), np.int64)  # a rank that there is not: the one before and one more
    codes[: len(ranks)] = _codes(percentiles, least, value_range, DTYPES[Kind.CM2]).T
    codes[0] = np.minimum(codes[0], 65532)
    for rank, most in ((1, 65533), (2, 65534), (3, 65535)):
        codes[rank] = np.minimum(np.maximum(codes[rank], codes[rank - 1] + 1), most)
    return codes.T.astype("<u2")


def _codes_between(columns_FT: np.ndarray, percentiles_F4: np.ndarray) -> np.ndarray:
    """uint8 [F, T]: linear between the percentiles of each column, rounded, values beyond them clipped.

    A code is the sum of the steps that its value climbs between each percentile and the next: none of those above it,
    all of those below, and so no value needs to be told where it lies. Percentiles that rounding made equal are taken
    to be a hair apart.
    """
    codes = np.zeros(columns_FT.shape, np.uint8)
    steps, whole_steps = np.empty_like(columns_FT), np.empty_like(codes)
    for rank, width in enumerate(CODES_BETWEEN_PERCENTILES):
        below, above = percentiles_F4[:, rank, None], percentiles_F4[:, rank + 1, None]
        np.subtract(columns_FT, below, out=steps)
        with np.errstate(over="ignore"):
            steps /= np.maximum(above - below, np.finfo(np.float32).tiny)
        steps *= np.float32(width)
        steps += np.float32(0.5)
        np.clip(steps, np.float32(0), np.float32(width), out=steps)
        np.copyto(whole_steps, steps, casting="unsafe")  # what is behind the point goes
        codes += whole_steps
    return codes
