"""Whole numbers on command lines."""

from __future__ import annotations

from spk.errors import InputError


def whole_number(option: str, text: str, *words: str) -> int:
    """The number that `text` is. Raises: InputError, which also names the words that the option may be instead."""
    if not text.isdecimal():
        raise InputError(f"{option}: {text!r} must be {' or '.join(['a whole number', *words])}")
    return int(text)
