"""Score files: 'enroll test score' a line, at full precision, so that a score read back is the score written."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spk.data.files import whole_file
from spk.data.trials import Pairs, Trials, distinct_names, three_fields
from spk.errors import InputError

LINES_PER_WRITE = 1 << 16
NUM_LISTED = 5


@dataclass(frozen=True)
class Scores(Pairs):
    """`values` [N] float64: higher favours the same speaker."""

    values: NDArray[np.float64]


def write_scores(path: str | os.PathLike[str], pairs: Pairs, values: NDArray[np.floating]) -> None:
    """Write one line per pair, in the order of `pairs`; float32 values [N] with 9 digits, float64 with 17."""
    line = b"%b %b %.9g\n" if values.dtype == np.float32 else b"%b %b %.17g\n"
    names = [name.encode("utf-8", "surrogateescape") for name in pairs.utterances]
    with whole_file(path, "wb") as file:
        for start in range(0, len(pairs), LINES_PER_WRITE):
            block = slice(start, start + LINES_PER_WRITE)
            fields = [b""] * (3 * len(values[block]))
            fields[0::3] = map(names.__getitem__, pairs.enroll[block].tolist())
            fields[1::3] = map(names.__getitem__, pairs.test[block].tolist())
            fields[2::3] = values[block].tolist()
            file.write(line * len(values[block]) % tuple(fields))


def read_scores(path: str | os.PathLike[str]) -> Scores:
    """Read 'enroll test score' lines.

    Raises: InputError `path:line: ...` for a line that has not three fields or a score that is no number or NaN.
    """
    tokens = three_fields(path)
    texts = tokens[2::3]
    del tokens[2::3]
    try:
        values = np.fromiter(map(float, texts), np.float64, len(texts))
    except ValueError:
        line = next(line for line, text in enumerate(texts) if not is_number(text))
        score = texts[line].decode("utf-8", "replace")
        raise InputError(f"{path}:{line + 1}: score {score!r} is not a number; a line is 'enroll test score'") from None
    if np.isnan(values).any():
        raise InputError(f"{path}:{np.argmax(np.isnan(values)) + 1}: the score is NaN")
    utterances, index = distinct_names(tokens)
    return Scores(utterances, index[0::2], index[1::2], values)


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
    same_names = trials.utterances == scores.utterances
    if same_names and np.array_equal(trials.enroll, scores.enroll) and np.array_equal(trials.test, scores.test):
        return scores.values
    indices = dict(zip(trials.utterances, range(len(trials.utterances)), strict=True))
    names = np.array([indices.get(name, -1) for name in scores.utterances], dtype=np.int64)
    wanted, given = trials.keys(), Pairs(trials.utterances, names[scores.enroll], names[scores.test]).keys()
    given[(names[scores.enroll] < 0) | (names[scores.test] < 0)] = -1
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
    return ordered_values[place]


def listed(lines: NDArray[np.int64], pairs: Pairs, kind: str) -> str:
    """'7 trials (line 3: a b; line 9: c d; ...)'."""
    some = "; ".join(f"line {line + 1}: {pairs.names(line)}" for line in lines[:NUM_LISTED])
    return f"{len(lines)} {kind}{'s' * (len(lines) > 1)} ({some}{'; ...' * (len(lines) > NUM_LISTED)})"
