"""Stamps: what a finished stage was made from, so that it is neither made twice nor kept when its inputs change."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from spk.data.files import file_digest, write_json
from spk.errors import InputError


def describe_inputs(files: Iterable[str] = (), values: Mapping[str, str] | None = None) -> dict[str, str]:
    """{path: digest of the file's content, name: value}. A missing file is an InputError that names it."""
    described = {}
    for path in files:
        try:
            described[os.fspath(path)] = file_digest(path)
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; run the stage that makes it first") from None
    for name, value in (values or {}).items():
        # A file may go by the name of a value, `scores` say; neither hides the other.
        described[name] = f"{described[name]} {value}" if name in described else value
    return described


def differences(stamp: str | os.PathLike[str], inputs: Mapping[str, str]) -> list[str] | None:
    """What differs between a written stamp and `inputs`: [] when nothing does, None when there is no stamp yet."""
    try:
        written = json.loads(Path(stamp).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, UnicodeDecodeError):
        return ["the stamp itself is unreadable"]
    return [name for name in sorted(written.keys() | inputs.keys()) if written.get(name) != inputs.get(name)]


def write_stamp(stamp: str | os.PathLike[str], inputs: Mapping[str, str]) -> None:
    """Say that the stage is finished. Written last, when every output has its final name."""
    write_json(stamp, dict(inputs), sort_keys=True)
