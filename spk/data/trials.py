"""Trial lists: which utterance is compared with which, and whether one speaker spoke both."""

from __future__ import annotations

import codecs
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spk.data.files import whole_file
from spk.errors import InputError

log = logging.getLogger(__name__)

LINES_PER_WRITE = 1 << 16


@dataclass(frozen=True)
class Pairs:
    """Two utterances a line, as indices [N] into the distinct names (in order of first appearance)."""

    utterances: list[str]
    enroll: NDArray[np.int64]
    test: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.enroll)

    def keys(self) -> NDArray[np.int64]:
        """[N] one number per line; the same pair, the same number."""
        return self.enroll * len(self.utterances) + self.test

    def num_repeated(self) -> int:
        """How many lines have the pair of an earlier line."""
        return len(self) - len(np.unique(self.keys()))

    def names(self, index: int) -> str:
        """'enroll test' of one line, for messages."""
        return f"{self.utterances[self.enroll[index]]} {self.utterances[self.test[index]]}"


@dataclass(frozen=True)
class Trials(Pairs):
    """`is_target` [N]: whether both utterances of a trial are of one speaker."""

    is_target: NDArray[np.bool_]


def read_trials(path: str | os.PathLike[str]) -> Trials:
    """Read 'enroll test target|nontarget' lines, or VoxCeleb's '1|0 enroll test'; the first line says which form it is.

    Raises: InputError `path:line: ...` for a line that has not three fields or an unknown label.
    """
    tokens = three_fields(path)
    if tokens[0] in (b"0", b"1") and tokens[2] not in (b"target", b"nontarget"):
        first, positive, negative = 0, b"1", b"0"
    else:
        first, positive, negative = 2, b"target", b"nontarget"
    labels = tokens[first::3]
    del tokens[first::3]
    values = np.fromiter(map({positive: 1, negative: 0}.get, labels, repeat(-1)), np.int8, len(labels))
    if (values < 0).any():
        line = int(np.argmin(values))
        label = labels[line].decode("utf-8", "replace")
        raise InputError(
            f"{path}:{line + 1}: label {label!r} is not known; lines are 'enroll test target|nontarget', or all "
            "'1|0 enroll test'"
        )
    utterances, index = distinct_names(tokens)
    trials = Trials(utterances, index[0::2], index[1::2], values == 1)
    refuse_contradictions(path, trials)
    return trials


def read_pairs(path: str | os.PathLike[str]) -> Pairs:
    """Read trials, or pairs without labels: lines 'enroll test', as of a test whose answers are kept secret.

    The first line says which. Raises: InputError as read_trials.
    """
    if not Path(path).is_file() or num_fields_of_first_line(path) != 2:
        return read_trials(path)
    utterances, index = distinct_names(fields(path, 2))
    return Pairs(utterances, index[0::2], index[1::2])


def num_fields_of_first_line(path: str | os.PathLike[str]) -> int:
    with Path(path).open("rb") as file:
        return len(file.readline().split())


def say_repeated(path: str | os.PathLike[str], trials: Pairs) -> None:
    """Log how many lines repeat an earlier pair. They count again: published lists are used as they are."""
    repeated = trials.num_repeated()
    if repeated:
        log.info("%s: %d of %d lines repeat an earlier pair and count again", path, repeated, len(trials))


def write_trials(path: str | os.PathLike[str], trials: Pairs) -> None:
    """Write 'enroll test target|nontarget' lines, pairs without label; in their order, whole or not at all."""
    names = [name.encode("utf-8", "surrogateescape") for name in trials.utterances]
    columns = [(names, trials.enroll), (names, trials.test)]
    if isinstance(trials, Trials):
        columns.append(((b"nontarget", b"target"), trials.is_target))
    line = b" ".join([b"%b"] * len(columns)) + b"\n"
    with whole_file(path, "wb") as file:
        for start in range(0, len(trials), LINES_PER_WRITE):
            block = slice(start, start + LINES_PER_WRITE)
            words = [b""] * (len(columns) * len(trials.enroll[block]))
            for place, (values, index) in enumerate(columns):
                words[place :: len(columns)] = map(values.__getitem__, index[block].tolist())
            file.write(line * len(trials.enroll[block]) % tuple(words))


def refuse_contradictions(path: str | os.PathLike[str], trials: Trials) -> None:
    """Raise InputError when a pair is a target trial in one line and a non-target trial in another."""
    pairs = trials.keys()
    ordered = np.sort(2 * pairs + trials.is_target)  # a pair's two labels become neighbours
    contradicting = np.flatnonzero((ordered[1:] != ordered[:-1]) & (ordered[1:] // 2 == ordered[:-1] // 2))
    if contradicting.size:
        lines = np.flatnonzero(pairs == ordered[contradicting[0]] // 2)
        other = lines[trials.is_target[lines] != trials.is_target[lines[0]]][0]
        raise InputError(
            f"{path}:{other + 1}: '{trials.names(other)}' has another label than in line {lines[0] + 1}; "
            f"{contradicting.size} pairs have both labels"
        )


def trial_speakers(
    trials: Trials, utt2spk: Mapping[str, str], model_speakers: Mapping[str, str] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[str]]:
    """The speakers of both sides of every trial, as indices [N] into the names: (enroll, test, names).

    With `model_speakers` the enrolled side names models, whose speakers these are, or else utt2spk's. Tests may be
    recordings of several speakers then, of whom utt2spk names one: in a target trial the model's is another of them.
    Raises: InputError for utterances without a speaker, and for a label that the speakers contradict; with models, for
    target trials only if they are the most, because then the speakers are not those of these trials.
    """
    enroll_speakers = utt2spk if model_speakers is None else {**utt2spk, **model_speakers}
    sides = []
    for column, speakers in ((trials.enroll, enroll_speakers), (trials.test, utt2spk)):
        used, index = np.unique(column, return_inverse=True)
        sides.append(([trials.utterances[row] for row in used.tolist()], speakers, index))
    missing = list(dict.fromkeys(name for names, speakers, _ in sides for name in names if name not in speakers))
    if missing:
        raise InputError(f"{len(missing)} of {len(trials.utterances)} utterances have no speaker, as {missing[0]!r}")
    indices: dict[str, int] = {}
    enroll, test = (
        np.array([indices.setdefault(speakers[name], len(indices)) for name in names], dtype=np.int64)[index]
        for names, speakers, index in sides
    )
    if model_speakers is not None:
        others = trials.is_target & (enroll != test)
        if 2 * np.count_nonzero(others) <= np.count_nonzero(trials.is_target):
            test[others] = enroll[others]
    contradicting = np.flatnonzero((enroll == test) != trials.is_target)
    if contradicting.size:
        line, names = contradicting[0], list(indices)
        label = "target" if trials.is_target[line] else "nontarget"
        raise InputError(
            f"line {line + 1}, '{trials.names(line)}', is {label}, but its speakers are {names[enroll[line]]!r} and "
            f"{names[test[line]]!r}; {contradicting.size} trials contradict the speakers"
        )
    return enroll, test, list(indices)


def three_fields(path: str | os.PathLike[str]) -> list[bytes]:
    """`fields` of a file that has three on every line."""
    return fields(path, 3)


def fields(path: str | os.PathLike[str], number: int) -> list[bytes]:
    """The fields of a file that has `number` on every line, one line after the other: with 3, line i has 3i to 3i+2.

    Raises: InputError for a missing or empty file and `path:line: ...` for a line of fewer or more fields.
    """
    try:
        text = Path(path).read_bytes().removeprefix(codecs.BOM_UTF8)  # Windows programs begin a file with that mark
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run the stage that makes it first") from None
    tokens = text.split()
    if not tokens:
        raise InputError(f"{path}: empty; it needs at least one line of {number} fields")
    if not text.endswith(b"\n"):
        text += b"\n"
    if has_plain_lines(text, len(tokens), number):
        return tokens
    # Tabs, runs of blanks or carriage returns, or a faulty line: count the fields line by line.
    for row, line in enumerate(text.split(b"\n")[:-1], start=1):
        if len(line.split()) != number:
            raise InputError(f"{path}:{row}: {len(line.split())} fields instead of {number}")
    return tokens


def has_plain_lines(text: bytes, num_tokens: int, number: int) -> bool:
    """Whether every line is `number` fields with one blank between them and nothing around them."""
    characters = np.frombuffer(text, np.uint8)
    separators = np.flatnonzero(characters <= ord(" "))
    if len(separators) != num_tokens or num_tokens % number or separators[0] == 0 or (np.diff(separators) < 2).any():
        return False
    wanted = np.frombuffer(b" " * (number - 1) + b"\n", np.uint8)
    return bool((characters[separators].reshape(-1, number) == wanted).all())


def distinct_names(tokens: list[bytes]) -> tuple[list[str], NDArray[np.int64]]:
    """The distinct names in order of first appearance, and for each token its index [len(tokens)] among them."""
    indices = dict.fromkeys(tokens)
    indices = dict(zip(indices, range(len(indices)), strict=True))
    return b"\n".join(indices).decode("utf-8", "surrogateescape").split("\n"), np.fromiter(
        map(indices.__getitem__, tokens), np.int64, len(tokens)
    )
