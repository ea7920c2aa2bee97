"""Score files: 'enroll test score' a line at full precision, or a binary file with the same; read back as written.

The binary form is numpy's .npz, which np.load reads: `names`, the bytes of all distinct names with a newline between
them, `pairs` [N, 2] int32, each line's enrolled and tested name, and `values` [N] float32 or float64.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from spk.data.columns import read_columns
from spk.data.files import whole_file
from spk.data.trials import Pairs, Trials
from spk.errors import InputError

# Few enough that a block's lines stay in the processor's cache.
LINES_PER_WRITE = 1 << 12
NUM_LISTED = 5
FIRST_BYTES_OF_BINARY = b"PK\3\4"  # an .npz is a zip file


@dataclass(frozen=True)
class Scores(Pairs):
    """`values` [N]: higher favours the same speaker; float64, or float32 where a binary file has that."""

    values: NDArray[np.floating]


def write_scores(
    path: str | os.PathLike[str], pairs: Pairs, values: NDArray[np.floating], binary: bool = False
) -> None:
    """Write the pairs in their order with their values [N], as text with 9 digits for float32, 17 for float64."""
    names = [name.encode("utf-8", "surrogateescape") for name in pairs.utterances]
    with whole_file(path, "wb") as file:
        if binary:
            write_binary(file, names, pairs, values)
        else:
            write_text(file, names, pairs, values)


def write_binary(file: IO[bytes], names: list[bytes], pairs: Pairs, values: NDArray[np.floating]) -> None:
    """Needs values in float32 or float64, and fewer than 2^31 names."""
    columns = np.empty((len(pairs), 2), "<i4")
    columns[:, 0], columns[:, 1] = pairs.enroll, pairs.test
    dtype = "<f4" if values.dtype == np.float32 else "<f8"
    np.savez(file, names=np.frombuffer(b"\n".join(names), np.uint8), pairs=columns, values=values.astype(dtype))


def write_text(file: IO[bytes], names: list[bytes], pairs: Pairs, values: NDArray[np.floating]) -> None:
    """Names and the form of a number are joined to lines, and a block's numbers put in at once."""
    escaped = [name.replace(b"%", b"%%") for name in names]
    form = b" %.9g\n" if values.dtype == np.float32 else b" %.17g\n"
    left, right = [name + b" " for name in escaped], [name + form for name in escaped]
    for start in range(0, len(pairs), LINES_PER_WRITE):
        block = slice(start, start + LINES_PER_WRITE)
        parts = [b""] * (2 * len(values[block]))
        parts[0::2] = map(left.__getitem__, pairs.enroll[block].tolist())
        parts[1::2] = map(right.__getitem__, pairs.test[block].tolist())
        file.write(b"".join(parts) % tuple(values[block].tolist()))


def read_scores(path: str | os.PathLike[str]) -> Scores:
    """Read a score file of either form.

    Raises: InputError `path:line: ...` for a line that has not three fields or a score that is no number or NaN, and
    for a binary file that is damaged.
    """
    return read_binary(path) if is_binary(path) else read_text(path)


def is_binary(path: str | os.PathLike[str]) -> bool:
    """Whether a score file is of the binary form, by its first bytes. Raises: InputError for a missing file."""
    try:
        with Path(path).open("rb") as file:
            return file.read(len(FIRST_BYTES_OF_BINARY)) == FIRST_BYTES_OF_BINARY
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the stage that makes it first") from None


def read_binary(path: str | os.PathLike[str]) -> Scores:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names, pairs, values = (np.asarray(arrays[name]) for name in ("names", "pairs", "values"))
    except Exception as error:  # of a dozen kinds, for bytes that numpy and zipfile did not write
        if isinstance(error, OSError) and error.filename is not None:
            raise
        raise InputError(f"{path}: is damaged, or no score file ({error}); make it again") from None
    shapes_fit = names.dtype == np.uint8 and values.ndim == 1 and len(values) > 0 and pairs.shape == (len(values), 2)
    kinds_fit = pairs.dtype == np.int32 and values.dtype in (np.float32, np.float64)
    lines = names.tobytes().split(b"\n")
    if not (shapes_fit and kinds_fit and pairs.min() >= 0 and pairs.max() < len(lines)):
        raise InputError(f"{path}: its names, pairs and values do not fit each other; make it again")
    if lines != names.tobytes().split() or len(set(lines)) < len(lines):
        raise InputError(f"{path}: a name is empty, has blanks, or is there twice; make it again")
    refuse_nan(path, values)
    utterances = [name.decode("utf-8", "surrogateescape") for name in lines]
    enroll, test = (np.ascontiguousarray(pairs[:, side], np.int64) for side in (0, 1))
    return Scores(utterances, enroll, test, values)


def read_text(path: str | os.PathLike[str]) -> Scores:
    columns = read_columns(path, 3)
    texts = columns.fields(2)
    try:
        values = np.fromiter(map(float, texts), np.float64, len(texts))
    except ValueError:
        line = next(line for line, text in enumerate(texts) if not is_number(text))
        score = texts[line].decode("utf-8", "replace")
        raise InputError(f"{path}:{line + 1}: score {score!r} is not a number; a line is 'enroll test score'") from None
    refuse_nan(path, values)
    utterances, (enroll, test) = columns.distinct(0, 1)
    return Scores(utterances, enroll, test, values)


def as_written(values: NDArray[np.float64]) -> NDArray[np.floating]:
    """Values [N] read from lines, as float32 if such values were written: written again, the lines are the same."""
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    again = map(float, (b"%.9g\n" * len(narrow) % tuple(narrow.tolist())).split())
    return narrow if np.array_equal(np.fromiter(again, np.float64, len(narrow)), values) else values


def refuse_nan(path: object, values: NDArray[np.floating]) -> None:
    if np.isnan(values).any():
        raise InputError(f"{path}:{np.argmax(np.isnan(values)) + 1}: the score is NaN")


def is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def scores_of_trials(trials: Trials, scores: Scores, trials_path: object, scores_path: object) -> NDArray[np.float64]:
    """[N] the score of every trial, in the order of the trials, wherever its line is among the scores.

    The paths are for messages. Raises: InputError unless the scores cover the trials exactly: a trial without score, a
    score without trial, a pair with two different scores. The message counts them and lists the first ones.
    """
    if trials.utterances == scores.utterances:
        names = np.arange(len(trials.utterances))
    else:
        indices = dict(zip(trials.utterances, range(len(trials.utterances)), strict=True))
        names = np.array([indices.get(name, -1) for name in scores.utterances], dtype=np.int64)
    wanted, given = trials.keys(), Pairs(trials.utterances, names[scores.enroll], names[scores.test]).keys()
    given[(names[scores.enroll] < 0) | (names[scores.test] < 0)] = -1
    if np.array_equal(given, wanted) and not trials.num_repeated():
        return scores.values.astype(np.float64, copy=False)
    order = np.argsort(given, kind="stable")
    ordered, ordered_values = given[order], scores.values[order]
    place = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
    missing = np.flatnonzero(ordered[place] != wanted)
    if missing.size:
        raise InputError(f"{scores_path}: no score for {listed(missing, trials, 'trial')} of {trials_path}")
    extra = np.flatnonzero(~np.isin(given, wanted))
    if extra.size:
        raise InputError(f"{scores_path}: {listed(extra, scores, 'score')} whose trial is not in {trials_path}")
    twice = np.flatnonzero((ordered[1:] == ordered[:-1]) & (ordered_values[1:] != ordered_values[:-1]))
    if twice.size:
        raise InputError(
            f"{scores_path}: another score than in an earlier line for {listed(order[twice + 1], scores, 'trial')}"
        )
    return ordered_values[place].astype(np.float64, copy=False)


def listed(lines: NDArray[np.int64], pairs: Pairs, kind: str) -> str:
    """'7 trials (line 3: a b; line 9: c d; ...)'."""
    some = "; ".join(f"line {line + 1}: {pairs.names(line)}" for line in lines[:NUM_LISTED])
    return f"{len(lines)} {kind}{'s' * (len(lines) > 1)} ({some}{'; ...' * (len(lines) > NUM_LISTED)})"
