"""VoxCeleb1's published trial lists: lines '1|0 path path', and how many of them each list must have."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spk.data.trials import Pairs, Trials, read_trials
from spk.errors import InputError

# The video's id may hold dashes and underscores; the first release had names and one folder less.
VOXCELEB_PATH = re.compile(r"(id\d{5})/([\w-]+)/([\w-]+)\.wav", re.ASCII)
PATH_OF_FIRST_RELEASE = re.compile(r"[^/]+/[^/]{11}_\d{7}\.wav")
TABLE_HEADER = ["list", "file", "trials", "target trials"]


@dataclass(frozen=True)
class PublishedList:
    """A line of the table of lists: the names under which the list may be found, and its size."""

    name: str
    files: tuple[str, ...]
    num_trials: int
    num_targets: int

    @property
    def output(self) -> Path:
        """Where its trials go: O has a data directory of its own, as its utterances are few."""
        if self.name == "o" or self.name.startswith("o_"):
            return Path("vox1_o", f"trials{self.name[1:]}")
        return Path("vox1", f"trials_{self.name}")

    def belongs_to(self, name: str) -> bool:
        return self.name == name or self.name.startswith(f"{name}_")

    def find(self, list_dir: Path) -> Path | None:
        return next((list_dir / name for name in self.files if (list_dir / name).exists()), None)

    def check_size(self, path: Path, trials: Trials) -> None:
        """Raise InputError unless the file `path` has as many trials as the table says."""
        num_targets = int(trials.is_target.sum())
        if (len(trials), num_targets) != (self.num_trials, self.num_targets):
            raise InputError(
                f"{path}: has {len(trials)} trials ({num_targets} target), but list {self.name} has {self.num_trials} "
                f"({self.num_targets} target): fetch it again, or say with --table what a list of your own has"
            )


def read_list_table(path: str | os.PathLike[str]) -> list[PublishedList]:
    """Read a table of lists: a header, then 'list file[,file...] trials target-trials' between tabs; '#' comments.

    Raises: InputError with file and line.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; --table takes one in the form of local/voxceleb_lists.tsv") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is no text; --table takes one in the form of local/voxceleb_lists.tsv") from None
    rows = [(number, [field.strip() for field in line.split("\t")]) for number, line in numbered_lines(text)]
    if not rows or rows[0][1] != TABLE_HEADER:
        raise InputError(f"{path}: its first line must be {' '.join(map(repr, TABLE_HEADER))}, with tabs between")
    lists: dict[str, PublishedList] = {}
    for number, fields in rows[1:]:
        if len(fields) != 4 or not (fields[2].isdecimal() and fields[3].isdecimal()):
            raise InputError(f"{path}:{number}: a line is a list, its file, a number of trials and one of targets")
        name, files = fields[0], tuple(file for file in fields[1].split(",") if file)
        if not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", name):
            raise InputError(f"{path}:{number}: {name!r}: a list's name has small letters, digits, single underscores")
        if name in lists:
            raise InputError(f"{path}:{number}: list {name!r} stands in an earlier line, too")
        if not files:
            raise InputError(f"{path}:{number}: list {name!r} has no file")
        lists[name] = PublishedList(name, files, int(fields[2]), int(fields[3]))
    return list(lists.values())


def numbered_lines(text: str) -> list[tuple[int, str]]:
    """Lines with their numbers, without comments and empty lines."""
    lines = enumerate(text.removeprefix("\ufeff").splitlines(), start=1)
    return [(number, line) for number, line in lines if line.strip() and not line.startswith("#")]


def choose_lists(table: Sequence[PublishedList], names: Sequence[str]) -> list[PublishedList]:
    """The lists of these names and what belongs to them (o: o and o_cleaned), in the order of the table.

    Raises: InputError for a name that is not in the table.
    """
    for name in names:
        if not any(one.belongs_to(name) for one in table):
            known = ", ".join(one.name for one in table)
            raise InputError(f"--lists {name}: is not in the table of lists, which has {known or 'none'}")
    return [one for one in table if any(one.belongs_to(name) for name in names)]


def read_voxceleb_trials(path: str | os.PathLike[str]) -> Trials:
    """Read '1|0 idNNNNN/video/file.wav idNNNNN/video/file.wav' lines; the names become utterance ids.

    An utterance is called idNNNNN-video-file. Raises: InputError `path:line: ...` for a line or a path of another form,
    and for a label that the speakers' ids contradict.
    """
    trials = read_trials(path)
    utterances, speakers = [], []
    for index, name in enumerate(trials.utterances):
        match = VOXCELEB_PATH.fullmatch(name)
        if match is None:
            raise InputError(f"{path}:{first_line(trials, index)}: {other_path(name)}")
        utterances.append("-".join(match.groups()))
        speakers.append(match[1])
    contradicted = contradicted_labels(trials, speakers)
    if contradicted.size:
        raise InputError(f"{path}:{contradicted[0] + 1}: {contradiction(trials, contradicted)}")
    return Trials(utterances, trials.enroll, trials.test, trials.is_target)


def first_line(trials: Pairs, utterance: int) -> int:
    """The number of the first line in which the utterance of this index stands."""
    return int(np.argmax((trials.enroll == utterance) | (trials.test == utterance))) + 1


def other_path(name: str) -> str:
    if PATH_OF_FIRST_RELEASE.fullmatch(name):
        return f"{name!r} is a path of VoxCeleb1's first release; take veri_test.txt (or voxceleb1_test_v2.txt) instead"
    return f"{name!r} is not a path idNNNNN/video/file.wav"


def contradicted_labels(trials: Trials, speakers: Sequence[str | None]) -> NDArray[np.int64]:
    """The trials (their places) that are target although their speakers differ, or the other way round.

    `speakers`: of each of trials.utterances; trials of an utterance without one are not looked at.
    """
    indices: dict[str | None, int] = {None: -1}
    index = np.array([indices.setdefault(speaker, len(indices)) for speaker in speakers], dtype=np.int64)
    enroll, test = index[trials.enroll], index[trials.test]
    return np.flatnonzero(((enroll == test) != trials.is_target) & (enroll >= 0) & (test >= 0))


def contradiction(trials: Trials, places: NDArray[np.int64]) -> str:
    """What contradicts the first of the trials at these places, and how many there are."""
    line = places[0]
    kind, others = ("target", "two speakers") if trials.is_target[line] else ("nontarget", "one speaker")
    return (
        f"'{trials.names(line)}' is a {kind} trial, but has utterances of {others}; "
        f"labels that contradict the speakers' ids: {places.size}"
    )
