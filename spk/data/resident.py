"""Arks on a device: the records of all utterances lie there as they are, and crops are cut out and decoded there."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from spk.data.ark import FeatureReader, record_bytes, where
from spk.data.ark_format import DTYPES, LONGEST_HEADER, Kind, parse_header
from spk.data.coded_crops import CodedCrops, decode, pieces, put, rows_of, scales_of, to
from spk.errors import InputError
from spk.out_of_memory import lower_when_out_of_memory

log = logging.getLogger(__name__)
GAP = 4096  # bytes between records that are loaded beside them, rather than looking where a record ends
PIECE = 2**26  # bytes read at once


class Places(NamedTuple):
    """Where a batch's crops [B] lie that are of one kind of record: all that goes to the device for them."""

    kind: int
    rows: Tensor | None  # as CodedCrops.rows
    places: Tensor  # int64 [B, 3]: the byte of the record's first value, its frames, the crop's first frame
    scales: Tensor  # as CodedCrops.scales


class ResidentArks:
    """The records of a reader's utterances in one uint8 tensor on a device; on the CPU it is main memory.

    Nothing is read but the ends of the arks before `load`; `num_bytes` is known at once.
    """

    def __init__(self, reader: FeatureReader, num_frames: np.ndarray, device: torch.device) -> None:
        """`num_frames` [U] as utt2num_frames has them; `load` compares them with the headers. InputError as there."""
        self.reader, self.num_frames, self.device = reader, np.asarray(num_frames, np.int64), device
        self._plan()
        self._bytes: Tensor | None = None
        self._places = np.empty(0, np.int64)  # of each utterance, the byte of its first value in the tensor

    def _plan(self) -> None:
        """Which bytes of which ark belong where: records by ark and place, each with what lies behind it, if little.

        An scp tells where records begin. Where the next one that is used follows, the record ends there or before.
        """
        scp, frames = self.reader.scp, self.num_frames
        self._order = np.lexsort((scp.offsets, scp.path_ids))  # utterances by place
        paths, begins = scp.path_ids[self._order], scp.offsets[self._order]
        is_first = np.ones(len(paths), bool)  # of those with the same record
        is_first[1:] = (paths[1:] != paths[:-1]) | (begins[1:] != begins[:-1])
        self._record = np.cumsum(is_first) - 1  # of each utterance in that order
        owners = self._order[is_first]
        self._paths, self._begins = paths[is_first], begins[is_first]
        lengths = np.diff(self._begins, append=0)
        expected = LONGEST_HEADER + record_bytes(self.reader.first.kind, frames[owners], self.reader.dim)
        ends_by_next = np.zeros(len(owners), bool)
        ends_by_next[:-1] = (self._paths[1:] == self._paths[:-1]) & (lengths[:-1] <= expected[:-1] + GAP)
        last = np.flatnonzero(~ends_by_next)
        lengths[last] = self.reader.ends(owners[last]) - self._begins[last]
        self._lengths = lengths
        self._targets = np.concatenate([[0], np.cumsum(lengths)])

    @property
    def num_bytes(self) -> int:
        return int(self._targets[-1])

    def load(self) -> None:
        """Read all records, unless they are there already; main memory holds one piece of them at a time.

        Raises InputError for a damaged record, and for one with other frames than utt2num_frames says.
        """
        if self._bytes is not None:
            return
        began = time.monotonic()
        log.info("loading the features, %s, to %s", in_bytes(self.num_bytes), self.device)
        is_there = self.device.type == "cpu"
        size = max(PIECE, int(self._lengths.max()))
        with lower_when_out_of_memory("set train.resident to false, and features are read as they are needed"):
            loaded = torch.empty(self.num_bytes, dtype=torch.uint8, device=self.device)
            pins = self.device.type == "cuda"
            staging = loaded if is_there else torch.empty(size, dtype=torch.uint8, pin_memory=pins)
        first = 0
        while first < len(self._lengths):
            begin = int(self._targets[first])
            last = int(np.searchsorted(self._targets, begin + size, side="right")) - 1
            end = int(self._targets[last])
            piece = loaded[begin:end] if is_there else staging[: end - begin]
            self._read(first, last, piece.numpy())
            if not is_there:
                loaded[begin:end].copy_(piece)
            first = last
        self.reader.check_num_frames(np.arange(len(self.reader)), self.num_frames)
        scp = self.reader.scp
        self._places = np.empty(len(self.reader), np.int64)
        self._places[self._order] = self._targets[self._record]
        self._places += self.reader.starts - scp.offsets
        self._bytes = loaded
        log.info("loaded in %.1f seconds", time.monotonic() - began)

    def _read(self, first: int, last: int, piece: np.ndarray) -> None:
        """The bytes of records first..last-1 into the piece, by large reads, and what their headers say."""
        origin = self._targets[first]
        paths, begins, lengths = (array[first:last] for array in (self._paths, self._begins, self._lengths))
        breaks = np.flatnonzero((paths[1:] != paths[:-1]) | (begins[:-1] + lengths[:-1] != begins[1:])) + 1
        scp = self.reader.scp
        for run in np.split(np.arange(first, last), breaks):
            ark = scp.paths[self._paths[run[0]]]
            target = piece[self._targets[run[0]] - origin : self._targets[run[-1] + 1] - origin]
            read_into(ark, int(self._begins[run[0]]), target)
        utterances = slice(*np.searchsorted(self._record, [first, last]))
        at = (self._targets[self._record[utterances]] - origin).tolist()
        for index, place in zip(self._order[utterances].tolist(), at, strict=True):
            try:
                header = parse_header(piece[place : place + LONGEST_HEADER].tobytes())
            except ValueError:
                self.reader.ends(np.array([index]))  # says what is wrong
                raise
            self.reader.take_header(index, header)
        chosen = self._order[utterances]
        ends = self._begins + self._lengths
        beyond = np.flatnonzero(self.reader.ends(chosen) > ends[self._record[utterances]])
        if len(beyond):
            raise InputError(
                f"{where(scp, chosen[beyond[0]])}: another record begins before its end; the scp does not belong to "
                "this ark, make both again"
            )

    def places(self, indices: Sequence[int] | np.ndarray, starts: Sequence[int] | np.ndarray) -> list[Places]:
        """Where crops begin, by kind, on the CPU: what `crops_at` takes, perhaps out of pinned memory."""
        self.load()
        reader = self.reader
        indices, starts = reader.checked_starts(indices, starts)
        parts = []
        for kind, rows in reader.by_kind(indices):
            chosen = indices[rows]
            places = np.stack([self._places[chosen], reader.rows[chosen].astype(np.int64), starts[rows]], axis=1)
            scales = scales_of(reader, kind, chosen)
            parts.append(Places(kind, rows_of(rows, len(indices)), torch.from_numpy(places), scales))
        return parts

    def crops_at(self, parts: Sequence[Places], length: int) -> Tensor:
        """float32 [B, length, F] on the device, of all parts of a batch. The CPU does not wait for it."""
        out = torch.empty(sum(len(part.places) for part in parts), length, self.reader.dim, device=self.device)
        for part in parts:
            kind = Kind(part.kind)
            rows, places, scales = (to(tensor, self.device) for tensor in part[1:])
            size = length * self.reader.dim * DTYPES[kind].itemsize
            for some in pieces(len(places), size, self.device):
                codes = CodedCrops(kind, None, *self._gather(kind, places[some], length), scales[some])
                put(out, rows, some, decode(codes))
        return out

    def crops(self, indices: Sequence[int] | np.ndarray, starts: Sequence[int] | np.ndarray, length: int) -> Tensor:
        """As FeatureReader.crops, on the device."""
        return self.crops_at(self.places(indices, starts), length)

    def _gather(self, kind: Kind, places: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """CodedCrops.codes and .percentiles of crops at `places` [B, 3]."""
        at, num_frames, start = places.unbind(1)
        dim = self.reader.dim
        frame_BL = (start[:, None] + torch.arange(length, device=self.device)) % num_frames[:, None]
        if kind != Kind.CM:
            width = dim * DTYPES[kind].itemsize
            frames = self._bytes.as_strided((len(self._bytes) - width + 1, width), (1, 1))  # one from each byte on
            return frames[at[:, None] + frame_BL * width], self._bytes.new_empty(len(places), 0)
        column = torch.arange(dim, device=self.device)
        percentile = at[:, None, None] + 8 * column[:, None] + torch.arange(8, device=self.device)
        columns_BF = at[:, None] + 8 * dim + column * num_frames[:, None]
        return self._bytes[columns_BF[:, :, None] + frame_BL[:, None, :]], self._bytes[percentile]


def read_into(path: str, begin: int, target: np.ndarray) -> None:
    """Fill the uint8 array with the bytes of a file from `begin` on."""
    try:
        with Path(path).open("rb", buffering=0) as file:
            file.seek(begin)
            view, filled = memoryview(target), 0
            while filled < len(view):
                count = file.readinto(view[filled:])
                if not count:
                    raise InputError(f"{path}: ends at byte {begin + filled}: it was changed while being read")
                filled += count
    except OSError as error:
        raise InputError(f"{path}: {os.strerror(error.errno) if error.errno else error}") from None


def in_bytes(count: int) -> str:
    """35000000000 -> '35 GB'; 1200000 -> '1.2 MB'."""
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"
