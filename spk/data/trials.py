"""Trial lists: which utterance is compared with which, and whether one speaker spoke both."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spk.data.columns import Columns, read_columns
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
    columns = read_columns(path, 3)
    first_line = [columns.fields_of_line(0)[place] for place in (0, 2)]
    is_voxceleb = first_line[0] in ("0", "1") and first_line[1] not in ("target", "nontarget")
    place, form = (0, {"1": True, "0": False}) if is_voxceleb else (2, {"target": True, "nontarget": False})
    is_target = flags(path, columns, place, form, "lines are 'enroll test target|nontarget', or all '1|0 enroll test'")
    utterances, (enroll, test) = columns.distinct(*(other for other in range(3) if other != place))
    trials = Trials(utterances, enroll, test, is_target)
    refuse_contradictions(path, trials)
    return trials


def flags(path: object, columns: Columns, place: int, form: Mapping[str, bool], lines: str) -> NDArray[np.bool_]:
    """[N] what the labels of a column mean. Raises: InputError `path:line: ...` for one that `form` does not know."""
    labels, (index,) = columns.distinct(place)
    for number, label in enumerate(labels):
        if label not in form:
            shown = label.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            raise InputError(f"{path}:{np.argmax(index == number) + 1}: label {shown!r} is not known; {lines}")
    return np.array([form[label] for label in labels])[index]


def read_pairs(path: str | os.PathLike[str]) -> Pairs:
    """Read trials, or pairs without labels: lines 'enroll test', as of a test whose answers are kept secret.

    The first line says which. Raises: InputError as read_trials.
    """
    if not Path(path).is_file() or num_fields_of_first_line(path) != 2:
        return read_trials(path)
    utterances, (enroll, test) = read_columns(path, 2).distinct(0, 1)
    return Pairs(utterances, enroll, test)


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
