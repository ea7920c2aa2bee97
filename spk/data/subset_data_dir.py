"""Choose some of a data directory's utterances. Every choice is a function of the lists alone.

Utterances are rows of the sorted utt2spk; `speakers` is its other column.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from spk.data.data_dir import Item, count_and_name, numbers_of, parse_columns, read_aligned, rows_of
from spk.errors import InputError


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """`count` of the items at even distances, or all when there are fewer."""
    count = min(count, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def shortest(utterances: list[str], count: int, data_dir: Path) -> list[int]:
    """By utt2num_frames, else utt2dur; among equals the first. InputError when one has no length, or no number."""
    for name in ("utt2num_frames", "utt2dur"):
        if (data_dir / name).exists():
            lengths, _ = read_aligned(data_dir / name, utterances)
            missing = [utterance for utterance, length in zip(utterances, lengths, strict=True) if length is None]
            if missing:
                raise InputError(f"{data_dir / name}: utterances without a length, {count_and_name(missing)}")
            numbers = numbers_of(data_dir / name, utterances, lengths, float, "utils/fix_data_dir.sh")
            return sorted(range(len(utterances)), key=numbers.__getitem__)[:count]
    raise InputError(f"{data_dir}: neither utt2num_frames nor utt2dur says how long utterances are")


def whole_speakers(speakers: Sequence[str], count: int) -> list[int]:
    """All utterances of speakers drawn at random (with a fixed seed) until there are `count` or more."""
    groups = by_speaker(speakers)
    random.Random(0).shuffle(groups)
    chosen: list[int] = []
    while len(chosen) < count:
        chosen += groups.pop()
    return chosen


def per_speaker(speakers: Sequence[str], count: int) -> list[int]:
    """`count` of each speaker's utterances at even distances, all where a speaker has fewer."""
    return [row for group in by_speaker(speakers) for row in spread(group, count)]


def by_speaker(speakers: Sequence[str]) -> list[list[int]]:
    """Of each speaker the utterances; speakers in the order of their first."""
    groups: dict[str, list[int]] = defaultdict(list)
    for row, speaker in enumerate(speakers):
        groups[speaker].append(row)
    return list(groups.values())


def listed(utterances: list[str], list_file: Path) -> tuple[list[int], list[str]]:
    """The utterances that are first words of lines of `list_file`, and such words that are no utterances."""
    return rows_of(utterances, filter(None, parse_columns(list_file.read_bytes())[0]))


def of_listed(speakers: Sequence[str], list_file: Path) -> tuple[list[int], list[str]]:
    """The utterances of speakers that are first words of lines of `list_file`, and such words that are no speakers."""
    wanted = set(filter(None, parse_columns(list_file.read_bytes())[0]))
    return [row for row, speaker in enumerate(speakers) if speaker in wanted], sorted(wanted.difference(speakers))
