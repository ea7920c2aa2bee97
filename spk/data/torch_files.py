"""Files that torch writes and reads: whole or absent, and never more than data."""

from __future__ import annotations

import errno
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch

from spk.data.files import whole_file
from spk.errors import InputError
from spk.out_of_memory import is_out_of_memory


def save(path: Path, content: Mapping[str, Any]) -> None:
    """Whole or not at all. A full disk and the like are an OSError."""
    with whole_file(path, "wb") as file:
        output = Output(file)
        try:
            torch.save(dict(content), output)
        except RuntimeError:
            if output.error is None:
                raise
            raise output.error from None


class Output:
    """A file that remembers why it could not be written: torch.save hides it behind an error of its own."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.error = file, None

    def write(self, content: bytes) -> int:
        try:
            return self.file.write(content)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Tensors and plain values only (weights_only), on the CPU. InputError for a damaged file or other content.

    OSError where the disk does not let it be read, which says nothing of the content.
    """
    try:
        check_sums(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; train first") from None
    except Exception as error:  # torch raises many kinds for a damaged file
        if is_out_of_memory(error) or is_of_the_disk(error):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: cannot be read as a checkpoint ({reason})") from None


def is_of_the_disk(error: Exception) -> bool:
    """Permission, an input/output error and the like; a seek to where a damaged file leads is an invalid argument."""
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def check_sums(path: str | os.PathLike[str]) -> None:
    """Raise where a byte differs from what was written: torch itself takes wrong weights for weights."""
    if os.stat(path).st_size == 0:  # noqa: PTH116 (torch takes names of both kinds)
        raise ValueError("the file is empty")
    with open(path, "rb") as file:  # noqa: PTH123
        if file.read(4) != b"PK\3\4":  # a file of torch before 1.6, which has no sums
            return
    with zipfile.ZipFile(path) as archive:
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"its part {damaged} is damaged")
