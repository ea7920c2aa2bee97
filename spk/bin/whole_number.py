"""Whole numbers on command lines."""

from __future__ import annotations

from typing import Annotated

from spk.errors import InputError
from spk.schema import NOT_NEGATIVE, Range, check_value


def whole_number(option: str, text: str, *words: str, allowed: Range = NOT_NEGATIVE) -> int:
    """The number that `text` is. Raises: InputError, which also names the words that the option may be instead."""
    if not text.removeprefix("-").isdecimal():
        raise InputError(f"{option}: {text!r} must be {' or '.join(['a whole number', *words])}")
    return check_value(option, int(text), Annotated[int, allowed])
