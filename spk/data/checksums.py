"""Lists of MD5 sums in md5sum's form, and the sums of files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from spk.errors import InputError

LINE = re.compile(r"\\?([0-9a-fA-F]{32}) [ *](.+)")
BLOCK = 1 << 20
PUBLISHED = Path(__file__).resolve().parents[2] / "local" / "checksums.md5"


def read_checksums(path: Path) -> dict[str, str]:
    """{name of a file, without folders: its MD5 in lower case}. Empty lines and lines that begin with # say nothing."""
    checksums: dict[str, str] = {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; it is to hold MD5 sums as md5sum writes them") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is no text; it is to hold MD5 sums as md5sum writes them") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = LINE.fullmatch(line.rstrip())
        if not match:
            raise InputError(f"{path}:{number}: {line[:60]!r} is not '<32 hexadecimal digits>  <file>', md5sum's form")
        name, md5 = Path(match[2]).name, match[1].lower()
        if checksums.setdefault(name, md5) != md5:
            raise InputError(f"{path}:{number}: {name} stands on an earlier line with another MD5; remove one")
    return checksums


def md5_sums(
    paths: Sequence[Path],
    progress: Callable[[int], object] = lambda num_bytes: None,
    each: Callable[[Path, str], object] = lambda path, md5: None,
) -> tuple[str, dict[Path, str]]:
    """The MD5 of all files joined, and of each one, in one reading.

    `progress` is told how many bytes were read, `each` of a file and its MD5 as soon as it was read.
    """
    joined = hashlib.md5(usedforsecurity=False)
    single = {}
    for path in paths:
        digest = hashlib.md5(usedforsecurity=False)
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                joined.update(block)
                if len(paths) > 1:
                    digest.update(block)
                progress(len(block))
        single[path] = (digest if len(paths) > 1 else joined).hexdigest()
        each(path, single[path])
    return joined.hexdigest(), single
