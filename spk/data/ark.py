"""Read features and embeddings from Kaldi's arks by memory map: of a crop, only the frames of the crop."""

from __future__ import annotations

import contextlib
import mmap
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from spk.data.ark_format import (
    DTYPES,
    LONGEST_HEADER,
    Header,
    Kind,
    decode_cm,
    decode_linear,
    decode_percentiles,
    parse_header,
)
from spk.data.data_dir import read_columns, values_of
from spk.errors import InputError

MOST_MAPS = 256  # arks open at once: each costs a file descriptor
ITEMSIZES = np.array([DTYPES[kind].itemsize if kind in DTYPES else 0 for kind in range(max(Kind) + 1)])  # by kind
CROPS_AT_A_TIME = 16  # decoded together: few enough to stay in the processor's cache


class Scp:
    """The lines of an scp as arrays: utterance `u` lies at byte `offsets[u]` of `paths[path_ids[u]]`."""

    def __init__(self, path: str | os.PathLike[str], utterances: Sequence[str] | None = None) -> None:
        """Take all utterances, in the file's order, or only those named, in the order named."""
        self.path = os.fspath(path)
        self.utterances, places = read_columns(path)
        if utterances is not None:
            places = values_of(self.utterances, places, utterances)
            if None in places:
                raise InputError(
                    f"{path}: has no features of {places.count(None)} of {len(utterances)} utterances, "
                    f"first {utterances[places.index(None)]!r}"
                )
            self.utterances = utterances
        if not places:
            raise InputError(f"{path}: is empty")
        known: dict[str, int] = {}
        path_ids, offsets = array("i"), array("q")
        for utterance, place in zip(self.utterances, places, strict=True):
            ark, colon, offset = place.rpartition(":")
            if not (colon and offset.isdecimal()):
                self.check_is_file(utterance, place)
                ark, offset = place, 0
            path_ids.append(known.setdefault(ark, len(known)))
            try:
                offsets.append(int(offset))
            except OverflowError:
                raise InputError(f"{path}: {utterance!r} is at {place!r}, where no file goes") from None
        self.paths: list[str] = list(known)
        self.path_ids = np.array(path_ids, np.int32)
        self.offsets = np.array(offsets, np.int64)

    def __len__(self) -> int:
        return len(self.utterances)

    def check_is_file(self, utterance: str, place: str) -> None:
        """Without an offset the matrix is the whole file; InputError for what else Kaldi takes there."""
        if place.endswith(("]", "|")):
            raise InputError(
                f"{self.path}: utterance {utterance!r}: {place!r} is no place in an ark, but a range or a command; "
                "write such features to an ark with copy-feats"
            )


class FeatureReader:
    """Features of the utterances of a feats.scp, by whole matrices or by batches of crops.

    Reads FM, DM, CM, CM2, CM3 and, as matrices of one column, FV and DV. Nothing is opened before it is asked for, and
    a record's header is read once. Can be pickled: data loader workers open the arks for themselves.
    """

    def __init__(self, scp_path: str | os.PathLike[str], utterances: Sequence[str] | None = None) -> None:
        """`utterances`: only these, in this order (default: all, in the order of the scp).

        Raises InputError for a line that cannot be read, an utterance that the scp does not have, or an empty scp.
        """
        self.scp = Scp(scp_path, utterances)
        count = len(self.scp)
        # What the headers say, for each utterance.
        self.kinds = np.zeros(count, np.uint8)  # 0: the header is not read yet
        self.rows = np.zeros(count, np.int32)
        self.starts = np.zeros(count, np.int64)  # byte of the first value (CM: of the percentiles)
        self.least = np.zeros(count, np.float32)
        self.ranges = np.zeros(count, np.float32)
        self._maps: dict[int, np.ndarray] = {}
        self._files: dict[int, BinaryIO] = {}  # of those whose bytes were asked for ahead
        self._reads_only_parts = False
        self.first = self._header(0)
        self.dim = self.first.columns

    @property
    def utterances(self) -> list[str]:
        return self.scp.utterances

    def __len__(self) -> int:
        return len(self.scp)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_maps": {}, "_files": {}}

    def num_frames(self, indices: Iterable[int] | None = None) -> np.ndarray:
        """int64 [B]: the frames of these utterances (default: of all), from the headers in the arks."""
        chosen = np.arange(len(self)) if indices is None else np.asarray(indices, np.int64)
        self._read_headers(chosen)
        return self.rows[chosen].astype(np.int64)

    def check_num_frames(self, indices: np.ndarray, expected: np.ndarray) -> None:
        """Raises InputError naming the first utterance whose ark has other than the expected [B] numbers of frames."""
        wrong = np.flatnonzero(self.num_frames(indices) != expected)
        if len(wrong):
            index = indices[wrong[0]]
            raise InputError(
                f"{where(self.scp, index)}: has {self.rows[index]} frames, but utt2num_frames says "
                f"{expected[wrong[0]]}; it belongs to other features: run steps/make_feats again"
            )

    def whole(self, index: int) -> np.ndarray:
        """All frames of one utterance: float32 [T, F]."""
        index = range(len(self))[index]
        return self.crops([index], [0], int(self.num_frames([index])[0]))[0]

    def crops(self, indices: Sequence[int] | np.ndarray, starts: Sequence[int] | np.ndarray, length: int) -> np.ndarray:
        """float32 [B, length, F]: of utterance indices[b], the frames from starts[b] on; past its end again from 0."""
        indices, starts = self.checked_starts(indices, starts)
        out = np.empty((len(indices), length, self.dim), np.float32)
        for kind, rows in self.by_kind(indices):
            for first in range(0, len(rows), CROPS_AT_A_TIME):
                part = rows[first : first + CROPS_AT_A_TIME]
                self._decode(kind, indices[part], starts[part], length, out, part)
        return out

    def checked_starts(
        self, indices: Sequence[int] | np.ndarray, starts: Sequence[int] | np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Both as int64 [B]. Raises InputError for a crop that does not start within its utterance."""
        indices, starts = np.asarray(indices, np.int64), np.asarray(starts, np.int64)
        self._read_headers(indices)
        beyond = np.flatnonzero((starts < 0) | (starts >= self.rows[indices]))
        if len(beyond):
            index, start = indices[beyond[0]], starts[beyond[0]]
            raise InputError(
                f"{where(self.scp, index)}: has {self.rows[index]} frames, but a crop was to start at frame {start}; "
                "utt2num_frames belongs to other features"
            )
        return indices, starts

    def by_kind(self, indices: np.ndarray) -> Iterator[tuple[Kind, np.ndarray]]:
        """The kinds of these utterances' records, whose headers are read, and where in `indices` each kind is."""
        kinds = self.kinds[indices]
        for kind in np.unique(kinds):
            yield Kind(int(kind)), np.flatnonzero(kinds == kind)

    def codes(
        self, kind: Kind, indices: np.ndarray, starts: np.ndarray, length: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """The crops of utterances of one kind, headers read, as they lie in the arks, and CM's percentiles.

        Of CM the codes are uint8 [B, F, length] and the percentiles uint16 [B, F, 4]; of others values of their DTYPES
        [B, length, F], and None.
        """
        columns_of_places = (self.scp.path_ids[indices], self.starts[indices], self.rows[indices], starts)
        places = zip(*(column.tolist() for column in columns_of_places), strict=True)
        if kind == Kind.CM:
            codes_BFL = np.empty((len(indices), self.dim, length), np.uint8)
            percentiles = np.empty((len(indices), self.dim, 4), "<u2")
            for codes, percentile, (path_id, at, num_frames, start) in zip(codes_BFL, percentiles, places, strict=True):
                ark, end = self._map(path_id), at + 8 * self.dim
                percentile[...] = ark[at:end].view("<u2").reshape(self.dim, 4)
                columns = ark[end : end + self.dim * num_frames].reshape(self.dim, num_frames)
                copy_wrapped(codes.T, columns.T, start)
            return codes_BFL, percentiles
        values = np.empty((len(indices), length, self.dim), DTYPES[kind])
        for value, (path_id, at, num_frames, start) in zip(values, places, strict=True):
            end = at + num_frames * self.dim * values.itemsize
            copy_wrapped(value, self._map(path_id)[at:end].view(values.dtype).reshape(num_frames, self.dim), start)
        return values, None

    def will_need(self, indices: np.ndarray, starts: np.ndarray, length: int, num_frames: np.ndarray) -> None:
        """Let the system read what these crops [B] lie in, all at once, without waiting for it.

        `num_frames` [B] as utt2num_frames has them: headers are not looked at, and where they are not known yet, the
        kind is supposed to be the first utterance's. Where nothing can be read, it is said by who reads.
        """
        if not hasattr(os, "posix_fadvise"):  # not Linux
            return
        is_known = self.kinds[indices] > 0
        kinds = np.where(is_known, self.kinds[indices], self.first.kind)
        offsets = self.scp.offsets[indices]
        begins = np.where(is_known, self.starts[indices], offsets + self.first.size)
        ends = begins + record_bytes(kinds, num_frames, self.dim)
        row_bytes = self.dim * ITEMSIZES[kinds]
        is_part = (kinds != Kind.CM) & (starts + length <= num_frames)  # of CM, every column has a part of the crop
        begins = np.where(is_part, begins + starts * row_bytes, begins)
        ends = np.where(is_part, begins + length * row_bytes, ends)
        columns_of_places = (self.scp.path_ids[indices], begins, ends - begins, np.where(is_known, -1, offsets))
        with contextlib.suppress(OSError):
            for path_id, begin, size, offset in zip(*(column.tolist() for column in columns_of_places), strict=True):
                file = self._file(path_id).fileno()
                if offset >= 0:
                    os.posix_fadvise(file, offset, LONGEST_HEADER, os.POSIX_FADV_WILLNEED)
                os.posix_fadvise(file, begin, size, os.POSIX_FADV_WILLNEED)

    def read_only_parts(self) -> None:
        """From now on the system reads no page of an ark that nobody asks for: for those who ask ahead."""
        self._maps.clear()
        self._reads_only_parts = True

    def _file(self, path_id: int) -> BinaryIO:
        if path_id not in self._files:
            if len(self._files) >= MOST_MAPS:
                self._files.pop(next(iter(self._files))).close()
            self._files[path_id] = Path(self.scp.paths[path_id]).open("rb", buffering=0)  # noqa: SIM115
        return self._files[path_id]

    def _decode(
        self, kind: Kind, indices: np.ndarray, starts: np.ndarray, length: int, out: np.ndarray, rows: np.ndarray
    ) -> None:
        """Gather the crops of a few utterances of one kind and put their values into out[rows]."""
        values, percentiles = self.codes(kind, indices, starts, length)
        least, ranges = self.least[indices], self.ranges[indices]
        if kind == Kind.CM:
            values = decode_cm(values, decode_percentiles(percentiles, least, ranges)).transpose(0, 2, 1)
        elif kind in (Kind.CM2, Kind.CM3):
            values = decode_linear(values, least, ranges)
        out[rows] = values

    def _read_headers(self, indices: np.ndarray) -> None:
        for index in np.unique(indices[self.kinds[indices] == 0]):
            self.take_header(index, self._header(index))

    def take_header(self, index: int, header: Header) -> None:
        """Keep what an utterance's header says. Raises InputError for other dimensions, or without frames."""
        if header.columns != self.dim:
            raise InputError(
                f"{where(self.scp, index)}: has {header.columns} values a frame, but {self.utterances[0]!r} has "
                f"{self.dim}; make the features of all utterances with one configuration"
            )
        if header.rows == 0:
            raise InputError(f"{where(self.scp, index)}: has no frames; take it out of the data directory")
        self.rows[index] = header.rows
        self.starts[index] = self.scp.offsets[index] + header.size
        self.least[index], self.ranges[index] = header.least, header.range
        self.kinds[index] = header.kind

    def ends(self, indices: np.ndarray) -> np.ndarray:
        """int64 [B]: the byte of the ark behind each of these utterances' records."""
        self._read_headers(indices)
        return self.starts[indices] + record_bytes(self.kinds[indices], self.rows[indices], self.dim)

    def _header(self, index: int) -> Header:
        return read_header(self._map(self.scp.path_ids[index]), self.scp.offsets[index], where(self.scp, index))

    def _map(self, path_id: int) -> np.ndarray:
        if path_id not in self._maps:
            if len(self._maps) >= MOST_MAPS:
                self._maps.pop(next(iter(self._maps)))
            self._maps[path_id] = map_file(self.scp.paths[path_id], self.scp.path, self._reads_only_parts)
        return self._maps[path_id]


def record_bytes(kinds: np.ndarray | int, rows: np.ndarray, dim: int) -> np.ndarray:
    """int64 [B]: from a record's first value (CM: its percentiles) to its end, of kinds [B] or all of one."""
    return rows.astype(np.int64) * dim * ITEMSIZES[kinds] + np.where(np.equal(kinds, Kind.CM), 8 * dim, 0)


def where(scp: Scp, index: int) -> str:
    """'a.ark:5: utterance 'x'', for messages."""
    return f"{scp.paths[scp.path_ids[index]]}:{scp.offsets[index]}: utterance {scp.utterances[index]!r}"


def map_file(path: str, scp_path: str, only_parts: bool = False) -> np.ndarray:
    """A file's bytes, uint8, mapped into memory. With `only_parts` the system reads no page that is not touched."""
    try:
        with Path(path).open("rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                raise InputError(f"{path}: is empty; make it and {scp_path} again")
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file, though {scp_path} points at it; make it again") from None
    if only_parts and hasattr(mmap, "MADV_RANDOM") and hasattr(os, "posix_fadvise"):  # else nobody asks ahead
        mapped.madvise(mmap.MADV_RANDOM)
    return np.frombuffer(mapped, np.uint8)


def read_header(ark: np.ndarray, offset: int, place: str) -> Header:
    """The header at `offset` of a mapped ark, and the whole record within the file; an InputError names `place`."""
    if ark[offset : offset + 2].tobytes() != b"\0B" and ark[offset : offset + 64].tobytes().lstrip()[:1] == b"[":
        raise InputError(f"{place}: is in Kaldi's text form, which is slow to read; make it binary with copy-feats")
    try:
        header = parse_header(ark[offset : offset + LONGEST_HEADER].tobytes())
    except ValueError as error:
        raise InputError(f"{place}: {error}; the scp does not belong to this ark, make both again") from None
    if offset + header.end > len(ark):
        raise InputError(
            f"{place}: ends at byte {offset + header.end}, but the file has {len(ark)}: it is truncated; make it again"
        )
    return header


def copy_wrapped(target: np.ndarray, source: np.ndarray, start: int) -> None:
    """Fill target [L, ...] with source [T, ...] from frame `start` on, beginning again at 0 after the last."""
    filled = 0
    while filled < len(target):
        part = source[start : start + len(target) - filled]
        target[filled : filled + len(part)] = part
        filled += len(part)
        start = 0


def read_vectors(
    scp_path: str | os.PathLike[str], utterances: Sequence[str] | None = None
) -> tuple[list[str], np.ndarray]:
    """All embeddings of an scp: (utterances, float32 [N, D]), or [N, K, D] where each record is a matrix of K rows.

    `utterances`: only these, in this order. Text records (Kaldi's i-vectors) are read too, slowly. Raises InputError
    for a damaged record and where shapes differ.
    """
    scp = Scp(scp_path, utterances)
    out: np.ndarray | None = None
    mapped, ark = -1, np.empty(0, np.uint8)
    for index in np.argsort(scp.path_ids, kind="stable"):
        if scp.path_ids[index] != mapped:
            mapped = scp.path_ids[index]
            ark = map_file(scp.paths[mapped], scp.path)
        record = read_record(ark, scp.offsets[index], where(scp, index))
        if out is None:
            shape_of, out = scp.utterances[index], np.empty((len(scp), *record.shape), np.float32)
        elif record.shape != out.shape[1:]:
            raise InputError(
                f"{where(scp, index)}: has the shape {list(record.shape)}, but {shape_of!r} has {list(out.shape[1:])}"
            )
        out[index] = record
    return scp.utterances, out


def read_vector(path: str) -> np.ndarray:
    """One vector [D] or uncompressed matrix [K, D], float32, from 'file' or 'file:offset', binary or text."""
    name, colon, offset = os.fspath(path).rpartition(":")
    if not (colon and offset.isdecimal()) or Path(path).exists():
        name, offset = os.fspath(path), "0"
    return np.array(read_record(map_file(name, os.fspath(path)), int(offset), os.fspath(path)), np.float32)


def read_record(ark: np.ndarray, offset: int, place: str) -> np.ndarray:
    """The vector [D] or uncompressed matrix [K, D] at `offset` of a mapped ark: a view, or read from text."""
    if ark[offset : offset + 2].tobytes() != b"\0B":
        return read_text(ark, offset, place)
    header = read_header(ark, offset, place)
    dtype = DTYPES[header.kind]
    if header.kind not in (Kind.FV, Kind.DV, Kind.FM, Kind.DM):
        raise InputError(f"{place}: is a compressed matrix; embeddings are not compressed")
    count = header.rows * header.columns
    values = ark[offset + header.size : offset + header.size + count * dtype.itemsize].view(dtype)
    return values if header.kind in (Kind.FV, Kind.DV) else values.reshape(header.rows, header.columns)


def read_text(ark: np.ndarray, offset: int, place: str) -> np.ndarray:
    """Kaldi's text form, ' [ 1 2 ]' for a vector and a line a row for a matrix."""
    end = offset
    while end < len(ark) and (ends := np.flatnonzero(ark[end : end + 4096] == ord("]"))).size == 0:
        end += 4096
    if end >= len(ark):
        raise InputError(f"{place}: no vector or matrix begins there; the scp does not belong to this ark")
    text = ark[offset : end + ends[0]].tobytes().decode("utf-8", "replace").strip()
    try:
        rows = [[float(value) for value in line.split()] for line in text.removeprefix("[").strip().split("\n")]
        values = np.array(rows, np.float32)
    except ValueError:
        raise InputError(f"{place}: no vector or matrix begins there; the scp does not belong to this ark") from None
    is_matrix = "\n" in text
    return values if is_matrix else values[0]
