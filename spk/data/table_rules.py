"""What the values in the tables of a data directory must look like."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence

from spk.errors import InputError

VALUES_AT_A_TIME = 4096  # a set of a million would outgrow the processor's caches


def one_word(value: str) -> str:
    return "" if len(value.split()) == 1 else f"{value!r} is not one word"


def positive_count(value: str) -> str:
    return "" if re.fullmatch(r"0*[1-9][0-9]*", value) else f"{value!r} is not a whole number above 0"


def positive_seconds(value: str) -> str:
    return "" if seconds(value) > 0 else f"{value!r} is not a number of seconds above 0"


def gender(value: str) -> str:
    return "" if value in ("m", "f") else f"{value!r} is neither m nor f"


def segment(value: str) -> str:
    """`recording start end`, in seconds; an end of -1 is that of the recording."""
    fields = value.split()
    if len(fields) != 3:
        return f"{value!r} is not a recording, a start and an end"
    start, end = seconds(fields[1]), seconds(fields[2])
    is_part = 0 <= start < end or (start >= 0 and end == -1)
    return "" if is_part else f"{value!r} does not begin at 0 or later and end after that, in seconds"


def augmentation(value: str) -> str:
    """A line of JSON, as spk/data/augmentation.py writes it."""
    from spk.data.augmentation import Augmentation  # not needed for most data directories, and slow to import

    try:
        Augmentation.from_json(value)
    except InputError as error:
        return str(error)
    return ""


def seconds(text: str) -> float:
    """A finite number, or NaN."""
    try:
        number = float(text)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) else math.nan


# A rule says what is wrong with a value, or ''.
RULES: dict[str, Callable[[str], str]] = {
    "utt2spk": one_word,
    "utt2uniq": one_word,
    "utt2lang": one_word,
    "utt2num_frames": positive_count,
    "utt2dur": positive_seconds,
    "reco2dur": positive_seconds,
    "spk2gender": gender,
    "segments": segment,
    "utt2augmentation": augmentation,
}


def bad_values(name: str, values: Sequence[str]) -> dict[str, str]:
    """{value: what is wrong with it} in order, for the values of the table `name` that break its rule; '' passes."""
    rule = RULES.get(name)
    if rule is None:
        return {}
    return {value: fault for value in distinct_nearby(values) if value and (fault := rule(value))}


def distinct_nearby(values: Sequence[str]) -> Iterator[str]:
    """Each value once or more, in order: the repeated are left out where a set of what they are in is quick to ask."""
    for start in range(0, len(values), VALUES_AT_A_TIME):
        yield from dict.fromkeys(values[start : start + VALUES_AT_A_TIME])
