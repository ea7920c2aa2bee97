"""Which utterances make each training batch: N distinct speakers times M utterances, every utterance used alike.

Each speaker has an endless sequence of shuffles of its own utterances. A batch takes N speakers and the next M
utterances of the sequence of each, so that at any time the uses of a speaker's utterances differ by at most one.

An epoch adds to what a speaker is due as many utterances as it has (`max_utterances_per_speaker` at most). A batch
takes N speakers at random, each with a weight of the groups of M that it is still due, as if all groups lay shuffled in
one pile and a speaker that is in the batch already went back into it. The epoch ends when fewer than N speakers are due
a group; what they are due then, they are due in the next epoch beside its own share. So speakers too are used alike:
after e epochs each utterance was used e times, less what its speaker is still due. Two exceptions:

- Of a speaker with `max_utterances_per_speaker` utterances or more, an epoch takes that many or fewer, and the next
  goes on behind them: a speaker that has more is used less, its utterances alike.
- N may be so near the number of speakers that one of them has more groups than the others make batches: it is in
  every batch, and what it is due grows.

Everything is a function of the seed, the epoch and two counts for each speaker, so that a resumed run sees the same
batches.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spk.errors import InputError

log = logging.getLogger(__name__)
STATE = {"made_for", "epoch", "position", "taken", "due"}
# With which batches may differ and still go on from those of before.
SETTINGS = {"num_speakers_per_batch", "max_utterances_per_speaker", "reuse_utterances"}


@dataclass(frozen=True)
class Batch:
    """Utterance indices [N * M], a speaker's M next to one another; with seed, epoch and position all of its chance."""

    utterances: np.ndarray
    seed: int
    epoch: int
    position: int

    def random(self, purpose: int = 0) -> np.random.Generator:
        """The generator of what else is drawn for this batch: where its crops begin, or another purpose (1, 2, ...)."""
        return np.random.default_rng([self.seed, self.epoch, self.position, *[purpose] * (purpose > 0)])


class SpeakerSampler:
    """An endless iterator of batches that can be saved and restored. It logs a line of counts for each epoch."""

    def __init__(
        self,
        speakers: Sequence[int] | np.ndarray,
        *,
        num_speakers_per_batch: int,
        utterances_per_speaker: int = 1,
        max_utterances_per_speaker: int | None = None,
        reuse_utterances: bool = True,
        seed: int = 1,
    ) -> None:
        """`speakers[u]` is the speaker, 0..S-1, of utterance u.

        A speaker with fewer than M utterances gives several crops of the same one when `reuse_utterances`, and is in
        fewer batches for it, else it is left out. Raises InputError when N exceeds the speakers there are, with the
        numbers.
        """
        self.speakers = np.asarray(speakers, dtype=np.int64)
        self.num_speakers_per_batch = num_speakers_per_batch
        self.utterances_per_speaker = utterances_per_speaker
        self.max_utterances_per_speaker = max_utterances_per_speaker
        self.reuse_utterances = reuse_utterances
        self.seed = seed
        self._counts = np.bincount(self.speakers)
        short = np.flatnonzero((self._counts > 0) & (self._counts < utterances_per_speaker))
        nobody = np.array([], dtype=np.int64)
        self.reused_speakers, self.left_out_speakers = (short, nobody) if reuse_utterances else (nobody, short)
        usable = np.count_nonzero(self._counts) - len(self.left_out_speakers)
        if max_utterances_per_speaker is not None and max_utterances_per_speaker < utterances_per_speaker:
            raise InputError(
                f"batch.max_utterances_per_speaker: {max_utterances_per_speaker} is less than the "
                f"{utterances_per_speaker} utterances per speaker of a batch"
            )
        if num_speakers_per_batch > usable:
            raise InputError(
                f"batch.size: a batch needs {num_speakers_per_batch} distinct speakers "
                f"({utterances_per_speaker} utterances each), but only {usable} can be used; lower batch.size"
            )
        # Utterances of each speaker that an epoch adds, and the most that it takes.
        self._most = np.iinfo(np.int64).max if max_utterances_per_speaker is None else max_utterances_per_speaker
        self._share = np.minimum(self._counts, self._most)
        self._share[self.left_out_speakers] = 0
        self._shuffles = Shuffles(self.speakers, utterances_per_speaker, seed)
        self.epoch = 0
        self.position = 0  # batches of this epoch that were given out
        # What each speaker has given and is due when an epoch begins; kept until no batch in use comes from it.
        nothing = np.zeros(len(self._counts), dtype=np.int64)
        self._starts = {0: (nothing, nothing)}
        self._batches: np.ndarray | None = None

    @property
    def batches_per_epoch(self) -> int:
        """Batches of an average epoch, rounded down: what schedules in epochs count with."""
        crops = self.num_speakers_per_batch * self.utterances_per_speaker
        return max(1, int(self._share.sum()) // crops)

    def _draw_speakers(self, groups: np.ndarray) -> np.ndarray:
        """The speakers of the epoch's batches [B, N], when each speaker is due `groups` of them [S]."""
        random = np.random.default_rng([self.seed, self.epoch])
        remaining, wanted = groups.copy(), self.num_speakers_per_batch
        drawn = []
        while np.count_nonzero(remaining) >= wanted:
            # The N smallest of exponential draws, each with its weight as the rate, are a draw by weight without
            # replacement (Efraimidis and Spirakis, 2006).
            with np.errstate(divide="ignore"):
                key = random.standard_exponential(len(remaining)) / remaining
            # Below this bound lie about twice as many as are wanted, or all where few are left.
            picked = smallest(key, wanted, 2 * wanted / remaining.sum())
            random.shuffle(picked)
            drawn.append(picked)
            remaining[picked] -= 1
        return np.stack(drawn)

    def _plan_epoch(self) -> None:
        """Make the epoch's batches [B, N * M], and what speakers have given and are due when the next one begins."""
        taken, due = self._starts[self.epoch]
        size = self.utterances_per_speaker
        groups = np.zeros_like(due)
        # Once is enough unless speakers with fewer than M utterances are needed for a batch.
        while np.count_nonzero(groups) < self.num_speakers_per_batch:
            due = np.where(self._share == self._most, self._most, due + self._share)
            groups = np.minimum(due, self._most) // size
        speakers = self._draw_speakers(groups)
        given = size * np.bincount(speakers.reshape(-1), minlength=len(due))
        in_time = np.argsort(speakers.reshape(-1), kind="stable")  # a speaker's groups go in their order
        utterances = np.empty((speakers.size, size), dtype=np.int64)
        utterances[in_time] = self._shuffles.deal(taken, given).reshape(-1, size)
        self._batches = utterances.reshape(len(speakers), -1)
        self._starts[self.epoch + 1] = (taken + given, due - given)

    def _log_epoch(self) -> None:
        """One line: how long the epoch is, what it uses, carries on, cuts, reuses and leaves out."""
        used = np.bincount(self._batches.reshape(-1), minlength=len(self.speakers)) > 0
        given = self._starts[self.epoch + 1][0] - self._starts[self.epoch][0]
        carried = np.where(self._share < self._most, self._starts[self.epoch + 1][1], 0)
        cut = np.where(self._share == self._most, np.maximum(0, self._counts - given), 0)
        log.info(
            "epoch %d: %d batches, %d crops of %d utterances of %d speakers; carried to the next: %d utterances "
            "of %d speakers; left by max_utterances_per_speaker: %d of %d; speakers with fewer than %d: %d reused, %d "
            "left out",
            self.epoch,
            len(self._batches),
            self._batches.size,
            np.count_nonzero(used),
            np.count_nonzero(given),
            carried.sum(),
            np.count_nonzero(carried),
            cut.sum(),
            np.count_nonzero(cut),
            self.utterances_per_speaker,
            np.count_nonzero(given[self.reused_speakers]),
            len(self.left_out_speakers),
        )

    def __iter__(self) -> SpeakerSampler:
        return self

    def __next__(self) -> Batch:
        if self._batches is None:
            self._plan_epoch()
            self._log_epoch()
        batch = Batch(self._batches[self.position], self.seed, self.epoch, self.position)
        self.position += 1
        self._turn_to_next_epoch_at_the_end()
        return batch

    def _turn_to_next_epoch_at_the_end(self) -> None:
        if self.position == len(self._batches):
            self.epoch, self.position, self._batches = self.epoch + 1, 0, None

    def _made_for(self) -> dict[str, int | None]:
        """What else decides the batches: a state goes with the same only."""
        return {
            "seed": self.seed,
            "num_speakers_per_batch": self.num_speakers_per_batch,
            "utterances_per_speaker": self.utterances_per_speaker,
            "max_utterances_per_speaker": self.max_utterances_per_speaker,
            "reuse_utterances": self.reuse_utterances,
            "crc32 of the utterances' speakers": zlib.crc32(self.speakers.tobytes()),
        }

    def state_after(self, batch: Batch) -> dict[str, Any]:
        """What to save when `batch` was the last one used: a loader may have drawn further ones already."""
        for epoch in [epoch for epoch in self._starts if epoch < batch.epoch]:
            del self._starts[epoch]
        taken, due = self._starts[batch.epoch]
        return {
            "made_for": self._made_for(),
            "epoch": batch.epoch,
            "position": batch.position + 1,
            "taken": taken.tolist(),
            "due": due.tolist(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the batch after the one that `state_after` was asked about.

        Raises InputError when the state is of other data, other settings or another form, or cannot be.
        """
        check_form(state, STATE)
        made_for = self._made_for()
        for name in made_for.keys() | state["made_for"].keys():
            was, now = state["made_for"].get(name), made_for.get(name)
            if was != now:
                raise InputError(f"the checkpoint's batches: made with {name} {was}, now {now}; train again")
        taken, due = (np.asarray(state[name], dtype=np.int64) for name in ("taken", "due"))
        for name, values in (("taken", taken), ("due", due)):
            if values.shape != self._counts.shape or (values < 0).any():
                raise InputError(
                    f"the checkpoint's batches: {name} is no list of {len(self._counts)} counts of 0 or more"
                )
        if (taken % self.utterances_per_speaker).any():
            raise InputError(
                f"the checkpoint's batches: taken holds counts that are no multiples of {self.utterances_per_speaker}"
            )
        self.epoch, self.position, self._starts = state["epoch"], state["position"], {state["epoch"]: (taken, due)}
        self._plan_epoch()
        if not 1 <= self.position <= len(self._batches):
            raise InputError(
                f"the checkpoint's batches: position {self.position} in epoch {self.epoch}, which has "
                f"{len(self._batches)} batches"
            )
        self._turn_to_next_epoch_at_the_end()

    def go_on_from(self, state: dict[str, Any]) -> None:
        """As load_state_dict, but batches may have had another number of speakers, or other limits.

        Then the epoch ends where it was, and what its speakers were still due they are due in the next beside their
        own share.
        """
        check_form(state, STATE)
        settings = {name: value for name, value in state["made_for"].items() if name in SETTINGS}
        check_form(settings, SETTINGS)
        before = SpeakerSampler(
            self.speakers,
            utterances_per_speaker=self.utterances_per_speaker,
            seed=self.seed,
            **settings,
        )
        if before._made_for() == self._made_for():
            self.load_state_dict(state)
            return
        before.load_state_dict(state)
        taken, due = before._starts[before.epoch]
        self.epoch = before.epoch
        if before._batches is not None:  # in the middle of an epoch
            used = before._batches[: before.position].reshape(-1)
            taken = taken + np.bincount(self.speakers[used], minlength=len(taken))
            taken_at_end, due_at_end = before._starts[before.epoch + 1]
            due = due_at_end + (taken_at_end - taken)
            self.epoch += 1
        self.position, self._batches, self._starts = 0, None, {self.epoch: (taken, due)}


def check_form(state: Mapping[str, Any], expected: set[str]) -> None:
    """InputError when a state or a part of it is not of the form that `state_after` gives it."""
    if set(state) != expected:
        raise InputError(
            f"the checkpoint's batches: has {', '.join(sorted(state))} where {', '.join(sorted(expected))} belong; "
            "it is of another version; train again"
        )


def smallest(values: np.ndarray, count: int, bound: float) -> np.ndarray:
    """Where the `count` smallest are, sorted; soon found where little more than these lie within the bound."""
    near = np.flatnonzero(values <= bound)
    if len(near) < count:
        near = np.arange(len(values))
    return np.sort(near[np.argpartition(values[near], count - 1)[:count]])  # a partition's order is the machine's


class Shuffles:
    """Every speaker's endless sequence: one shuffle of its utterances after another, dealt in groups of M.

    No group holds an utterance twice where the speaker has M or more. A group that begins at the end of one shuffle
    and goes on in the next could; there the next shuffle begins with the first of its utterances that are not in that
    group yet. A sequence is a function of the seed, the speaker and, in these places, M.
    """

    def __init__(self, speakers: np.ndarray, utterances_per_speaker: int, seed: int) -> None:
        """`speakers[u]` is the speaker, 0..S-1, of utterance u."""
        self.size = utterances_per_speaker
        self._by_speaker = np.argsort(speakers, kind="stable")
        self._counts = np.bincount(speakers)
        self._firsts = np.cumsum(self._counts) - self._counts
        self._streams = mixed(mixed(np.uint64(seed % 2**64)) + np.arange(len(self._counts), dtype=np.uint64))
        # Shuffles whose ends and groups' ends coincide again: what is before does not matter behind.
        repeats = self.size // np.gcd(self._counts, self.size)
        self._period = np.where(self._counts < self.size, 1, repeats)
        # A shuffle's beginning depends on the end of the one before; its own end, at most M - 1 utterances, is as it
        # was drawn when it lies behind the first M, which are all that a seam can move.
        self._depth = np.where(self._counts < 2 * self.size - 1, self.size, 1)

    def deal(self, taken: np.ndarray, given: np.ndarray) -> np.ndarray:
        """The next `given[s]` utterances of each speaker's sequence behind the first `taken[s]`, speaker by speaker."""
        dealt = np.empty(given.sum(), dtype=np.int64)
        into = np.cumsum(given) - given
        speakers = np.flatnonzero(given)
        first, last = (
            position // self._counts[speakers] for position in (taken[speakers], (taken + given - 1)[speakers])
        )
        shuffle = first - np.minimum(first % self._period[speakers], self._depth[speakers])
        begins_group = np.zeros(len(self._by_speaker), dtype=bool)  # utterances in the group that a shuffle ends in
        while len(speakers):
            utterances, place, row = self._shuffle(speakers, shuffle, begins_group)
            position = (shuffle * self._counts[speakers])[row] + place
            owner = speakers[row]
            offset = position - taken[owner]
            wanted = (offset >= 0) & (offset < given[owner])
            dealt[(into[owner] + offset)[wanted]] = utterances[wanted]
            unfinished = shuffle < last
            speakers, shuffle, last = speakers[unfinished], shuffle[unfinished] + 1, last[unfinished]
        return dealt

    def _shuffle(
        self, speakers: np.ndarray, shuffle: np.ndarray, begins_group: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Shuffle number `shuffle[i]` of `speakers[i]`: utterances, their places in it, and i, all flat.

        `begins_group` marks the utterances at the end of the shuffle before that begin the group at this seam, and is
        changed to those of this shuffle.
        """
        counts = self._counts[speakers]
        row, place = np.repeat(np.arange(len(speakers)), counts), concatenated_ranges(counts)
        streams = mixed(self._streams[speakers] + shuffle.astype(np.uint64))
        draws = mixed(streams[row] + place.astype(np.uint64))
        # One sort for all: a speaker's row in the upper bits, and the draw as far as there is room.
        bits = np.uint64(max(1, len(speakers).bit_length()))
        order = np.argsort((row.astype(np.uint64) << (np.uint64(64) - bits)) | (draws >> bits), kind="stable")
        utterances = self._by_speaker[(self._firsts[speakers][row] + place)[order]]
        if self.size == 1:
            return utterances, place, row
        has_groups = counts >= self.size
        missing = np.where(has_groups, -shuffle * counts % self.size, 0)[row]
        free = ~begins_group[utterances]
        free_so_far = np.cumsum(free)
        ends = np.cumsum(counts)
        before = np.concatenate([[0], free_so_far[ends[:-1] - 1]])
        free_so_far -= before[row]
        completes = free & (free_so_far <= missing)
        place = np.where(completes, free_so_far - 1, place + np.maximum(0, missing - free_so_far))
        open_at_end = np.where(has_groups, (shuffle + 1) * counts % self.size, 0)
        begins_group[utterances] = place >= (counts - open_at_end)[row]
        return utterances, place, row


def mixed(numbers: np.ndarray) -> np.ndarray:
    """Random bits, a function of each 64-bit number: one step of SplitMix64 (Steele, Lea and Flood, 2014)."""
    with np.errstate(over="ignore"):
        numbers = numbers + np.uint64(0x9E3779B97F4A7C15)
        numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def concatenated_ranges(counts: np.ndarray) -> np.ndarray:
    """0..c0-1, 0..c1-1, ... for counts c0, c1, ..."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
