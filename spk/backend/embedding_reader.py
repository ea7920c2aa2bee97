"""Read the embeddings of named utterances block by block, so that only what is computed from them is kept."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from spk.data.ark import MOST_MAPS, Scp, map_file, read_record, where
from spk.data.ark_format import DTYPES, LONGEST_HEADER, Kind, parse_header
from spk.data.data_dir import first_names, read_table
from spk.errors import InputError

UTTERANCES_PER_BLOCK = 512


class MissingEmbeddings(InputError):
    """Utterances that a directory has no embedding of: `utterances`, all of them."""

    def __init__(self, message: str, utterances: list[str]) -> None:
        super().__init__(message)
        self.utterances = utterances


def embedding_scp(directory: str | os.PathLike[str]) -> Path:
    """The scp in a directory of embeddings. Raises: InputError if there is none."""
    path = Path(directory) / "embedding.scp"
    if not path.is_file():
        raise InputError(f"{path}: no such file; extract the embeddings first (steps/extract_embeddings)")
    return path


def map_embeddings(
    directory: str | os.PathLike[str],
    utterances: Sequence[str],
    function: Callable[[NDArray[np.float32]], NDArray[np.floating]],
) -> NDArray[np.floating]:
    """`function` of each utterance's crop embeddings, in the order of `utterances`.

    `function` maps crops [n, K, D] of some utterances (K = 1 where an utterance has one embedding) to [n, ...]; what it
    returns may be not finite only for embeddings without direction, of length 0.
    Raises: MissingEmbeddings; InputError naming the utterance where an embedding is damaged, of another shape than the
    others, not finite, or of length 0.
    """
    result: NDArray[np.floating] | None = None
    for rows, mapped in mapped_blocks(directory, utterances, function):
        if result is None:
            result = np.empty((len(utterances), *mapped.shape[1:]), mapped.dtype)
        result[rows] = mapped
    if result is None:
        raise InputError(f"{directory}: no utterance is asked for")
    return result


def mapped_blocks(
    directory: str | os.PathLike[str],
    utterances: Sequence[str],
    function: Callable[[NDArray[np.float32]], NDArray[np.floating]],
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.floating]]]:
    """As map_embeddings, block by block: indices [n] of some utterances and `function` of their embeddings [n, ...]."""
    yield from mapped_blocks_of(scp_of(directory, utterances), directory, function)


def mapped_blocks_of(
    scp: Scp, directory: str | os.PathLike[str], function: Callable[[NDArray[np.float32]], NDArray[np.floating]]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.floating]]]:
    """As mapped_blocks, of the utterances of the scp of a directory, which is read once for several calls."""
    utterances = scp.utterances
    for rows, crops in embedding_blocks(scp):
        refuse_not_finite(crops, "has a value that is not finite; look at its features", directory, utterances, rows)
        with np.errstate(divide="ignore", invalid="ignore"):
            mapped = function(crops)
        refuse_not_finite(mapped, "is all zeros, it has no direction", directory, utterances, rows)
        yield rows, mapped


def refuse_not_finite(
    values: NDArray[np.floating], what: str, directory: object, utterances: Sequence[str], rows: NDArray[np.int64]
) -> None:
    """Raise InputError naming the utterance whose values, those of utterances[rows], are not all finite."""
    finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if not finite.all():
        count = np.count_nonzero(~finite)
        more = f" (and so have {count - 1} more)" if count > 1 else ""
        raise InputError(f"{directory}: the embedding of {utterances[rows[np.argmin(finite)]]!r} {what}{more}")


def scp_of(directory: str | os.PathLike[str], utterances: Sequence[str]) -> Scp:
    """Where the embeddings of these utterances lie. Raises: MissingEmbeddings."""
    scp_path = embedding_scp(directory)
    try:
        return Scp(scp_path, utterances)
    except InputError:
        table = read_table(scp_path)
        missing = [utterance for utterance in utterances if utterance not in table]
        if missing:
            message = f"{scp_path} has no embedding of {len(missing)} utterances ({first_names(missing)})"
            raise MissingEmbeddings(message, missing) from None
        raise


def embedding_blocks(scp: Scp) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Indices [n] of some utterances and their crop embeddings [n, K, D]; block by block, as they lie in the arks.

    Only a block is in memory, whatever the form of the records and the number of arks.
    """
    arks = functools.lru_cache(MOST_MAPS)(lambda path_id: map_file(scp.paths[path_id], scp.path))
    shape = read_record(arks(scp.path_ids[0]), scp.offsets[0], where(scp, 0)).shape
    order = np.lexsort((scp.offsets, scp.path_ids))
    for start in range(0, len(scp), UTTERANCES_PER_BLOCK):
        rows = order[start : start + UTTERANCES_PER_BLOCK]
        crops = gather_equal_records(scp, arks, rows)
        if crops is None:  # text, float64, another shape or a damaged record
            crops = read_one_by_one(scp, arks, rows, shape)
        yield rows, crops


def read_one_by_one(
    scp: Scp, arks: Callable[[int], NDArray[np.uint8]], rows: NDArray[np.int64], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """Crop embeddings [n, K, D] of these rows of `scp`; slower than gather_equal_records, and knows what is wrong."""
    records = np.empty((len(rows), *shape), np.float32)
    for place, row in enumerate(rows):
        record = read_record(arks(scp.path_ids[row]), scp.offsets[row], where(scp, row))
        if record.shape != shape:
            raise InputError(
                f"{where(scp, row)}: has the shape {list(record.shape)}, but {scp.utterances[0]!r} has {list(shape)}"
            )
        records[place] = record
    return records[:, None, :] if records.ndim == 2 else records


def gather_equal_records(
    scp: Scp, arks: Callable[[int], NDArray[np.uint8]], rows: NDArray[np.int64]
) -> NDArray[np.float32] | None:
    """Crop embeddings [n, K, D] of these rows of `scp` in one gather per ark, or None unless all headers are the same.

    Embeddings are float32 records of one shape: the bytes of all headers equal those of the first utterance's, and the
    values lie as far behind them.
    """
    start = arks(scp.path_ids[0])[scp.offsets[0] : scp.offsets[0] + LONGEST_HEADER]
    try:
        header = parse_header(start.tobytes())
    except ValueError:
        return None
    if header.kind not in (Kind.FV, Kind.FM):
        return None
    path_ids, offsets = scp.path_ids[rows], scp.offsets[rows]
    shape = (1, header.rows) if header.kind == Kind.FV else (header.rows, header.columns)
    crops = np.empty((len(offsets), *shape), DTYPES[header.kind])
    for path_id in np.unique(path_ids):
        ark, here = arks(path_id), path_ids == path_id
        if (offsets[here] + header.end > len(ark)).any():
            return None
        if (sliding_window_view(ark, header.size)[offsets[here]] != start[: header.size]).any():
            return None
        values = sliding_window_view(ark, header.end - header.size)[offsets[here] + header.size]
        crops[here] = values.view(crops.dtype).reshape(-1, *shape)
    return crops
