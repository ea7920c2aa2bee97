"""Choose some of a data directory's utterances. Every choice is a function of the lists alone."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from spk.data.data_dir import count_and_name, parse_columns, read_table
from spk.errors import InputError


def spread(items: Sequence[str], count: int) -> list[str]:
    """`count` of the items at even distances, or all when there are fewer."""
    count = min(count, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def first(utterances: Sequence[str], count: int) -> list[str]:
    return list(utterances[:count])


def last(utterances: Sequence[str], count: int) -> list[str]:
    return list(utterances[max(len(utterances) - count, 0) :])


def shortest(utterances: Sequence[str], count: int, data_dir: Path) -> list[str]:
    """By utt2num_frames, else utt2dur; among equals the first. InputError when an utterance has no length."""
    for name in ("utt2num_frames", "utt2dur"):
        if (data_dir / name).exists():
            lengths = read_table(data_dir / name)
            missing = [utterance for utterance in utterances if utterance not in lengths]
            if missing:
                raise InputError(f"{data_dir / name}: utterances without a length, {count_and_name(missing)}")
            return sorted(utterances, key=lambda utterance: float(lengths[utterance]))[:count]
    raise InputError(f"{data_dir}: neither utt2num_frames nor utt2dur says how long utterances are")


def whole_speakers(utterances: Sequence[str], count: int, utt2spk: Mapping[str, str]) -> list[str]:
    """All utterances of speakers drawn at random (with a fixed seed) until there are `count` or more."""
    groups = by_speaker(utterances, utt2spk)
    speakers = list(groups)
    random.Random(0).shuffle(speakers)
    chosen: list[str] = []
    while len(chosen) < count:
        chosen += groups[speakers.pop()]
    return chosen


def per_speaker(utterances: Sequence[str], count: int, utt2spk: Mapping[str, str]) -> list[str]:
    """`count` of each speaker's utterances at even distances, all where a speaker has fewer."""
    return [utterance for group in by_speaker(utterances, utt2spk).values() for utterance in spread(group, count)]


def by_speaker(utterances: Sequence[str], utt2spk: Mapping[str, str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for utterance in utterances:
        groups.setdefault(utt2spk[utterance], []).append(utterance)
    return groups


def listed(known: set[str], list_file: Path) -> tuple[set[str], list[str]]:
    """The first words of the lines of `list_file` that are known, and those that are not."""
    wanted = {key for key in parse_columns(list_file.read_bytes())[0] if key}
    return wanted & known, sorted(wanted - known)
