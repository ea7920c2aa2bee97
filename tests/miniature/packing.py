"""Archives as they are published: zips with entries of folders, zips cut into lettered parts, gzipped tar files.

Times are fixed, so that the same members give the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from string import ascii_lowercase

import numpy as np
import soundfile

WHEN = (2018, 6, 1, 12, 0, 0)


def audio_bytes(samples: np.ndarray, rate: int, kind: str = "WAV") -> bytes:
    """A 16-bit file of int16 or ±1 float samples [S] or [S, channels]."""
    content = io.BytesIO()
    soundfile.write(content, samples, rate, format=kind, subtype="PCM_16")
    return content.getvalue()


def folders_of(names: list[str]) -> list[str]:
    """Every folder that the members lie in, with a slash at the end, parents first."""
    return sorted({f"{parent}/" for name in names for parent in PurePosixPath(name).parents if parent.name})


def zip_bytes(members: Mapping[str, bytes]) -> bytes:
    """A zip of `members` (name -> content), folders as entries of their own, as zip -r writes it."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in sorted([*folders_of(list(members)), *members]):
            entry = zipfile.ZipInfo(name, WHEN)
            entry.compress_type = zipfile.ZIP_STORED if name.endswith("/") else zipfile.ZIP_DEFLATED
            entry.external_attr = (0o40755 << 16 | 0x10) if name.endswith("/") else 0o100644 << 16
            archive.writestr(entry, members.get(name, b""))
    return content.getvalue()


def tar_gz_bytes(members: Mapping[str, bytes]) -> bytes:
    """A gzipped tar file of `members` (name -> content), folders as entries of their own."""
    content = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=content, mode="wb", compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name in sorted([*folders_of(list(members)), *members]):
            entry = tarfile.TarInfo(name.rstrip("/"))
            entry.mtime = 1445000000
            entry.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            entry.mode = 0o755 if name.endswith("/") else 0o644
            entry.size = len(members.get(name, b""))
            archive.addfile(entry, io.BytesIO(members.get(name, b"")))
    return content.getvalue()


def write_parts(stem: Path, content: bytes, num_parts: int) -> None:
    """`stem`aa, `stem`ab, ...: at most 26 parts of equal size but for the last, as `split` cuts them."""
    size = -(-len(content) // num_parts)
    for part in range(num_parts):
        name = f"{stem.name}a{ascii_lowercase[part]}"
        stem.with_name(name).write_bytes(content[part * size : (part + 1) * size])


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
