"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from spk.errors import InputError


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO]:
    """Open a temporary name for writing and rename it to `path` when the block ends well; remove it when it does not.

    Text is UTF-8. The data is flushed to the disk before the rename, so that a full disk or a crash keeps the old file.
    A device or a pipe, such as /dev/stdout, is written to as it comes; through a link, the file that it points at.
    """
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        with path.open(mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
        return
    if path.is_symlink():
        path = path.resolve()
    # Its own name for each writer: of two at once, the last to finish wins, and neither can tear the other's file.
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    try:
        with partial.open(mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, os.fspath(partial)):
            error.filename = os.fspath(path)  # a failed write does not say to which file
        raise


def remove_partials(folder: Path, name: str | None = None) -> None:
    """Remove what killed writers by `whole_file` have left in a folder, of all files or of the one with this name.

    Those that still write keep theirs.
    """
    for partial in folder.glob(".*.partial" if name is None else f".{glob.escape(name)}.*.partial"):
        process = partial.name.split(".")[-2]
        if process.isdecimal() and not Path("/proc", process).exists():
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Give an OSError of a write the name of the file, which it does not say by itself."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(path)
        raise


def write_json(path: str | os.PathLike[str], value: Any, **options: Any) -> None:
    """Write a value as JSON that people can read, whole or not at all; `options` are those of json.dump."""
    with whole_file(path) as file:
        json.dump(value, file, indent=1, **options)
        file.write("\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """What `write_json` wrote. InputError for a file that is damaged; one that is not there is a FileNotFoundError."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:  # of the text's encoding, too
        raise InputError(f"{path}: is damaged, no JSON ({error}); make it again") from None


def file_digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file)


def _digest(file: IO[bytes]) -> str:
    """The same for Python 3.10."""
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
