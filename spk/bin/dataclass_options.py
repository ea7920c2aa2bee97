"""Options of a command line that are the fields of a dataclass, with its defaults, checked by its annotations."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Collection
from dataclasses import fields
from typing import Any, get_type_hints

from spk.schema import check_value


def option_of(name: str, prefix: str = "--") -> str:
    return prefix + name.replace("_", "-")


def add_fields(
    parser: argparse.ArgumentParser, kind: type, prefix: str = "--", leave_out: Collection[str] = ()
) -> None:
    """An option for every field; `prefix` is what its name begins with."""
    for field in fields(kind):
        if field.name not in leave_out:
            metavar = "true|false" if isinstance(field.default, bool) else "NUMBER"
            parser.add_argument(option_of(field.name, prefix), dest=field.name, default=field.default, metavar=metavar)


def values_of(options: argparse.Namespace, kind: type, prefix: str = "--") -> dict[str, Any]:
    """The options that are fields of the dataclass, as its types; InputError names the option."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        name: check_value(option_of(name, prefix), meaning(getattr(options, name)), hint)
        for name, hint in hints.items()
        if hasattr(options, name)
    }


def meaning(text: Any) -> Any:
    """The number, true or false that an option's text says; other text is left for check_value to refuse."""
    if text in ("true", "false"):
        return text == "true"
    if isinstance(text, str):
        with contextlib.suppress(ValueError):
            return float(text)
    return text
