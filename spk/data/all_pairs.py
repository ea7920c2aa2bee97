"""Trial lists of all pairs of a test set, or of a seeded share of them when there are too many."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spk.data.files import whole_file
from spk.errors import InputError


@dataclass(frozen=True)
class PairCounts:
    """How many pairs of each kind were written, and how many there are."""

    target: int
    nontarget: int
    all_target: int
    all_nontarget: int


def write_all_pairs(
    path: str | os.PathLike[str], utt2spk: Mapping[str, str], max_trials: int, seed: int, across_sessions: bool = False
) -> PairCounts:
    """Write 'enroll test target|nontarget' for every two different utterances, each pair once.

    With more than `max_trials` pairs, that many are drawn without replacement: all target pairs as long as they are at
    most half of the list, because they are the rare ones. Sorting `utt2spk` by utterance must sort it by speaker too.
    `across_sessions`: no pairs of one session, of which the utterances have the same name up to the last dash.
    Raises: InputError when that is not so, and when there is no target pair across sessions.
    """
    names = sorted(utt2spk, key=lambda name: (session_of(name), name)) if across_sessions else sorted(utt2spk)
    speakers = np.unique([utt2spk[name] for name in names], return_inverse=True)[1]
    disordered = np.flatnonzero(np.diff(speakers) < 0)
    if disordered.size:
        first, second = names[disordered[0]], names[disordered[0] + 1]
        raise InputError(
            f"{path}: utterance {first!r} sorts before {second!r}, but its speaker {utt2spk[first]!r} after "
            f"{utt2spk[second]!r}: give utterances ids that begin with their speaker (utils/copy_data_dir.sh "
            "--add-speaker-prefix true), and speakers ids of which none begins another"
        )
    index = np.arange(len(names))
    end_of_speaker = np.searchsorted(speakers, speakers, side="right")
    after = index + 1
    if across_sessions:
        sessions = np.unique([session_of(name) for name in names], return_inverse=True)[1]
        after = np.minimum(np.searchsorted(sessions, sessions, side="right"), end_of_speaker)
    target = Block(after, end_of_speaker - after)
    if across_sessions and not target.size:
        raise InputError(
            f"{path}: no speaker has utterances of two sessions: names (as {names[0]!r}) that differ before the last "
            "dash"
        )
    nontarget = Block(end_of_speaker, len(names) - end_of_speaker)
    num_target, num_nontarget = target.size, nontarget.size
    if num_target + num_nontarget > max_trials:
        num_target = min(num_target, max(max_trials // 2, max_trials - num_nontarget))
        num_nontarget = max_trials - num_target
    rng = np.random.default_rng(seed)
    all_names = np.array(names, dtype=object)
    rows = zip(names, target.rows(num_target, rng), nontarget.rows(num_nontarget, rng), strict=True)
    with whole_file(path, "wb") as file:
        for name, targets, nontargets in rows:
            for tests, label in ((targets, "target"), (nontargets, "nontarget")):
                if tests.size:
                    lines = f" {label}\n{name} ".join(all_names[tests])
                    file.write(f"{name} {lines} {label}\n".encode("utf-8", "surrogateescape"))
    return PairCounts(num_target, num_nontarget, target.size, nontarget.size)


def session_of(name: str) -> str:
    return name.rpartition("-")[0]


@dataclass(frozen=True)
class Block:
    """Pairs (i, j): for each utterance i the `count[i]` utterances from `first[i]` on. Both arrays are [U]."""

    first: NDArray[np.int64]
    count: NDArray[np.int64]

    @property
    def size(self) -> int:
        return int(self.count.sum())

    def rows(self, number: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        """For each i, the js of its pairs, ascending; `number` pairs in all, drawn when that is not all of them."""
        if number == self.size:
            for first, count in zip(self.first, self.count, strict=True):
                yield np.arange(first, first + count)
            return
        ends = np.cumsum(self.count)
        drawn = draw_distinct(rng, self.size, number)
        for first, begin, share in zip(
            self.first, ends - self.count, np.split(drawn, np.searchsorted(drawn, ends[:-1])), strict=True
        ):
            yield first + share - begin


def draw_distinct(rng: np.random.Generator, population: int, number: int) -> NDArray[np.int64]:
    """`number` different integers below `population`, ascending, all choices as likely; memory of order `number`."""
    if number > population // 2:
        return np.sort(rng.permutation(population)[:number])
    drawn = np.empty(0, dtype=np.int64)
    while len(drawn) < number:
        drawn = np.unique(np.concatenate([drawn, rng.integers(population, size=number - len(drawn))]))
    return drawn
