"""Which part of every batch a process works on: whole speakers, one next to the other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """That of process `rank` of `size`; a batch is N speakers with `utterances_per_speaker` crops of each.

    Shares lie in the order of ranks, are disjoint, together the batch, and differ by one speaker at most.
    """

    rank: int = 0
    size: int = 1
    utterances_per_speaker: int = 1

    def counts(self, num_crops: int) -> list[int]:
        """Of a batch of so many crops, how many are each process's."""
        return [self._first(rank + 1, num_crops) - self._first(rank, num_crops) for rank in range(self.size)]

    def rows(self, num_crops: int) -> slice:
        """Of a batch of so many crops, this process's."""
        return slice(self._first(self.rank, num_crops), self._first(self.rank + 1, num_crops))

    def _first(self, rank: int, num_crops: int) -> int:
        num_speakers = num_crops // self.utterances_per_speaker
        return num_speakers * rank // self.size * self.utterances_per_speaker


WHOLE = Share()
