"""Which utterances make each training batch: N distinct speakers times M utterances, nothing dropped.

An epoch offers every speaker's utterances (at most `max_utterances_per_speaker` of them, drawn anew each epoch) in
groups of M. A batch takes N speakers at random, each with a weight of the groups it has left, as if all groups lay
shuffled in one pile and a speaker that is in the batch already went back into it. The epoch ends when fewer than N
speakers have groups left; those groups come first for their speakers in the next epoch, beside the speaker's full
share, so that over epochs every utterance is used alike. (A speaker with more groups than the epoch
has batches can never use them all; what it carries stays below twice its share.)

Everything is a function of the seed, the epoch and what the epoch before left over, so that a resumed run sees the same
batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spk.errors import InputError


@dataclass(frozen=True)
class Batch:
    """Utterance indices [N * M], a speaker's M next to one another; with seed, epoch and position all of its chance."""

    utterances: np.ndarray
    seed: int
    epoch: int
    position: int

    def random(self) -> np.random.Generator:
        """The generator of what else is drawn for this batch: its crops."""
        return np.random.default_rng([self.seed, self.epoch, self.position])


class SpeakerSampler:
    """An endless iterator of batches that can be saved and restored."""

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

        A speaker with fewer than M utterances gives several crops of the same one when `reuse_utterances`, else it is
        left out. Raises InputError when N exceeds the speakers there are, with the numbers.
        """
        self.speakers = np.asarray(speakers, dtype=np.int64)
        self.num_speakers_per_batch = num_speakers_per_batch
        self.utterances_per_speaker = utterances_per_speaker
        self.max_utterances_per_speaker = max_utterances_per_speaker
        self.seed = seed
        counts = np.bincount(self.speakers)
        short = counts < utterances_per_speaker
        self.reused_speakers = (
            np.flatnonzero(short & (counts > 0)) if reuse_utterances else np.array([], dtype=np.int64)
        )
        self.left_out_speakers = (
            np.array([], dtype=np.int64) if reuse_utterances else np.flatnonzero(short & (counts > 0))
        )
        usable = np.count_nonzero(counts) - len(self.left_out_speakers)
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
        self._offered = self._groups_offered(counts)
        self.groups_per_epoch = int(self._offered.sum())
        self.epoch = 0
        self.position = 0  # batches of this epoch that were given out
        # Groups that each epoch inherits from the one before; kept until no batch in use comes from that epoch.
        self._carried_into = {0: np.zeros((0, utterances_per_speaker), dtype=np.int64)}
        self._batches: np.ndarray | None = None

    def _groups_offered(self, counts: np.ndarray) -> np.ndarray:
        """Groups that each speaker offers an epoch."""
        most = (
            counts if self.max_utterances_per_speaker is None else np.minimum(counts, self.max_utterances_per_speaker)
        )
        groups = most // self.utterances_per_speaker
        groups[self.reused_speakers] = 1
        return groups

    @property
    def batches_per_epoch(self) -> int:
        """Batches of an average epoch, rounded down: what schedules in epochs count with."""
        return max(1, self.groups_per_epoch // self.num_speakers_per_batch)

    def _draw_groups(self, random: np.random.Generator, carried: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """This epoch's groups of utterances [G, M], sorted by speaker, carried ones first, and their speakers [G]."""
        size, num_speakers = self.utterances_per_speaker, len(self._offered)
        order = np.lexsort((random.random(len(self.speakers)), self.speakers))
        speakers = self.speakers[order]
        rank = np.arange(len(order)) - np.searchsorted(speakers, np.arange(num_speakers))[speakers]
        carried_count = np.bincount(self.speakers[carried[:, 0]], minlength=num_speakers)
        fresh = np.clip(2 * self._offered - carried_count, 0, self._offered)
        is_reused = np.zeros(num_speakers, dtype=bool)
        is_reused[self.reused_speakers] = True
        kept = order[(rank < (fresh * size)[speakers]) & ~is_reused[speakers]]
        reused = [np.resize(order[speakers == one], (1, size)) for one in self.reused_speakers if fresh[one]]
        drawn = np.concatenate([carried, *reused, kept.reshape(-1, size)])
        group_speakers = self.speakers[drawn[:, 0]]
        by_speaker = np.argsort(group_speakers, kind="stable")
        return drawn[by_speaker], group_speakers[by_speaker]

    def _plan_epoch(self) -> tuple[np.ndarray, np.ndarray]:
        """All batches of the epoch [B, N, M], and the groups left over [R, M]."""
        random = np.random.default_rng([self.seed, self.epoch])
        groups, group_speakers = self._draw_groups(random, self._carried_into[self.epoch])
        remaining = np.bincount(group_speakers)
        following = np.searchsorted(group_speakers, np.arange(len(remaining)))
        wanted = self.num_speakers_per_batch
        chosen = []
        while np.count_nonzero(remaining) >= wanted:
            # The N smallest of exponential draws, each with its weight as the rate, are a draw by weight without
            # replacement (Efraimidis and Spirakis, 2006).
            with np.errstate(divide="ignore"):
                key = random.standard_exponential(len(remaining)) / remaining
            picked = np.argpartition(key, wanted - 1)[:wanted]
            random.shuffle(picked)
            chosen.append(following[picked])
            following[picked] += 1
            remaining[picked] -= 1
        has_left = np.repeat(following, remaining) + concatenated_ranges(remaining)
        return groups[np.stack(chosen)], groups[has_left]

    def __iter__(self) -> SpeakerSampler:
        return self

    def __next__(self) -> Batch:
        if self._batches is None:
            self._batches, self._carried_into[self.epoch + 1] = self._plan_epoch()
        batch = Batch(self._batches[self.position].reshape(-1), self.seed, self.epoch, self.position)
        self.position += 1
        if self.position == len(self._batches):
            self.epoch, self.position, self._batches = self.epoch + 1, 0, None
        return batch

    def state_after(self, batch: Batch) -> dict[str, Any]:
        """What to save when `batch` was the last one used: a loader may have drawn further ones already."""
        for epoch in [epoch for epoch in self._carried_into if epoch < batch.epoch]:
            del self._carried_into[epoch]
        return {
            "epoch": batch.epoch,
            "position": batch.position + 1,
            "carried": self._carried_into[batch.epoch].tolist(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with the batch after the one that `state_after` was asked about."""
        carried = np.asarray(state["carried"], dtype=np.int64).reshape(-1, self.utterances_per_speaker)
        self.epoch, self.position, self._carried_into = state["epoch"], state["position"], {state["epoch"]: carried}
        self._batches, self._carried_into[self.epoch + 1] = self._plan_epoch()
        if self.position == len(self._batches):
            self.epoch, self.position, self._batches = self.epoch + 1, 0, None


def concatenated_ranges(counts: np.ndarray) -> np.ndarray:
    """0..c0-1, 0..c1-1, ... for counts c0, c1, ..."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
