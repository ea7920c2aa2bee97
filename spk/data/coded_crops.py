"""Crops as the codes that lie in the arks: they move to a device as bytes and are decoded there.

Values are FeatureReader.crops' bit for bit: the same operations in the same order, each rounded by itself. So no
product may be fused with a sum here (addcmul, torch.compile), which rounds once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from spk.data.ark import FeatureReader
from spk.data.ark_format import CODES_BETWEEN_PERCENTILES, DTYPES, SHARES_OF_A_CODE, Kind, code_steps

# Bytes of codes decoded at once: on the CPU few enough to stay in its cache; on a GPU a bound on memory, as each byte
# has an index of 8 where it is gathered.
BYTES_AT_ONCE = {"cpu": 2**17, "cuda": 2**24}


class CodedCrops(NamedTuple):
    """A batch's crops [B] of L frames that are of one kind of record."""

    kind: int
    rows: Tensor | None  # int64 [B]: which of the batch they are; None: the whole batch, in its order
    codes: Tensor  # uint8: of CM [B, F, L], of others the bytes of the values [B, L, F * itemsize]
    percentiles: Tensor  # uint8 [B, F, 8] of CM: four of 16 bits a column; of others without values
    scales: Tensor  # float32 [B, 2]: the least value, and what one more in a code adds


def scales_of(reader: FeatureReader, kind: Kind, indices: np.ndarray) -> Tensor:
    """CodedCrops.scales of utterances [B] whose headers are read."""
    return torch.from_numpy(np.stack([reader.least[indices], code_steps(kind, reader.ranges[indices])], axis=1))


def rows_of(rows: np.ndarray, batch_size: int) -> Tensor | None:
    """CodedCrops.rows."""
    return None if len(rows) == batch_size else torch.from_numpy(rows)


def read_codes(
    reader: FeatureReader, indices: Sequence[int] | np.ndarray, starts: Sequence[int] | np.ndarray, length: int
) -> list[CodedCrops]:
    """What FeatureReader.crops would decode, by kind; the same errors."""
    indices, starts = reader.checked_starts(indices, starts)
    parts = []
    for kind, rows in reader.by_kind(indices):
        chosen = indices[rows]
        codes, percentiles = reader.codes(kind, chosen, starts[rows], length)
        if percentiles is None:
            percentiles = np.empty((len(rows), 0, 4), np.uint16)
        as_bytes = [torch.from_numpy(array.view(np.uint8)) for array in (codes, percentiles)]
        parts.append(CodedCrops(kind, rows_of(rows, len(indices)), *as_bytes, scales_of(reader, kind, chosen)))
    return parts


def decode_crops(parts: Sequence[CodedCrops], device: torch.device) -> Tensor:
    """float32 [B, L, F] on the device, of all parts of a batch of one crop or more."""
    there = [CodedCrops(part.kind, *(to(tensor, device) for tensor in part[1:])) for part in parts]
    length, dim = shape_of_crops(there[0])
    out = torch.empty(sum(len(part.codes) for part in there), length, dim, device=device)
    for part in there:
        for some in pieces(len(part.codes), part.codes[0].numel(), device):
            codes, percentiles, scales = (tensor[some] for tensor in part[2:])
            put(out, part.rows, some, decode(CodedCrops(part.kind, None, codes, percentiles, scales)))
    return out


def shape_of_crops(part: CodedCrops) -> tuple[int, int]:
    """(L, F)"""
    _, first, second = part.codes.shape
    return (second, first) if part.kind == Kind.CM else (first, second // DTYPES[Kind(part.kind)].itemsize)


def pinned(parts: Sequence[CodedCrops]) -> list[CodedCrops]:
    """In memory that a GPU fetches from by itself."""
    return [
        CodedCrops(part.kind, *(tensor if tensor is None else tensor.pin_memory() for tensor in part[1:]))
        for part in parts
    ]


def to(tensor: Tensor | None, device: torch.device) -> Tensor | None:
    return tensor if tensor is None else tensor.to(device, non_blocking=True)


def pieces(num_crops: int, bytes_of_a_crop: int, device: torch.device) -> Iterator[slice]:
    """Which crops are worked on at once."""
    at_once = max(1, BYTES_AT_ONCE["cpu" if device.type == "cpu" else "cuda"] // bytes_of_a_crop)
    for first in range(0, num_crops, at_once):
        yield slice(first, min(first + at_once, num_crops))


def put(out: Tensor, rows: Tensor | None, some: slice, values: Tensor) -> None:
    """Values [B'', L, F] of some of a part's crops into the batch's; `rows` as in CodedCrops."""
    out[some if rows is None else rows[some]] = values


def decode(part: CodedCrops) -> Tensor:
    """float32 [B, L, F], perhaps transposed in memory, where the codes are."""
    least, step = part.scales[:, 0, None, None], part.scales[:, 1, None, None]
    if part.kind == Kind.CM:
        percentiles_BF4 = unsigned(part.percentiles).float().mul_(step).add_(least)
        return decode_columns(part.codes, percentiles_BF4).transpose(1, 2)
    if part.kind == Kind.CM2:
        return unsigned(part.codes).float().mul_(step).add_(least)
    if part.kind == Kind.CM3:
        return part.codes.float().mul_(step).add_(least)
    is_double = part.kind in (Kind.DM, Kind.DV)
    return part.codes.view(torch.float64 if is_double else torch.float32).float()


def decode_columns(codes_BFL: Tensor, percentiles_BF4: Tensor) -> Tensor:
    """What ark_format.decode_cm does, on a device."""
    differences_BF3 = percentiles_BF4.diff(dim=2)
    codes = codes_BFL.float()
    total = percentiles_BF4[:, :, :1].expand(codes.shape).contiguous()
    first = 0
    for segment, (width, share) in enumerate(zip(CODES_BETWEEN_PERCENTILES, SHARES_OF_A_CODE.tolist(), strict=True)):
        slopes_BF1 = differences_BF3[:, :, segment : segment + 1] * share
        total.add_(codes.clamp(first, first + width).sub_(first).mul_(slopes_BF1))
        first += width
    return total


def unsigned(pairs: Tensor) -> Tensor:
    """uint8 [..., 2 n] -> int32 [..., n] of 16 bits each, the lower byte first. (torch.uint16 has few operations.)"""
    return pairs.view(torch.int16).int().bitwise_and_(0xFFFF)
