"""Files that torch writes and reads: whole or absent, and never more than data."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from spk.data.files import whole_file
from spk.errors import InputError


def save(path: Path, content: Mapping[str, Any]) -> None:
    """torch.save by way of memory: straight to a full disk it would hide the disk's error behind one of its own."""
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    with whole_file(path, "wb") as file:
        file.write(buffer.getbuffer())


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Tensors and plain values only (weights_only), on the CPU. InputError for a damaged file or other content."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; train first") from None
    except Exception as error:  # torch raises many kinds for a damaged file
        raise InputError(f"{path}: cannot be read as a checkpoint ({str(error).splitlines()[0]})") from None
