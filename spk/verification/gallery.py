"""A gallery: speakers by name and the embeddings of what they were enrolled with, in a directory on disk.

GALLERY/gallery.json names the system by the digest of its network; GALLERY/<name>.npz is a speaker, whose name is
written as in URLs: `recordings` [N] and `digests` [N] (SHA-256 of the files), and embedding_0, embedding_1, ... [K, D]
of each recording's crops or parts.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from spk.data.alone import alone_in
from spk.data.data_dir import count_and_name
from spk.data.files import named, read_json, remove_partials, whole_file, write_json
from spk.errors import InputError

LONGEST_FILE_NAME = 255  # bytes, of the file systems in use


@dataclass(frozen=True)
class Enrolled:
    """What a speaker was enrolled with: file, SHA-256 and crop embeddings [K, D] of each recording."""

    recordings: list[str]
    digests: list[str]
    embeddings: list[NDArray[np.float32]]


class Gallery:
    """The speakers in a directory. `digest`: of the system's network, without which nothing is added or compared.

    One call at a time changes it; others wait for it, and who reads meanwhile reads what was there before.
    """

    def __init__(self, folder: str | os.PathLike[str], digest: str | None = None, create: bool = False) -> None:
        """With `create` it may be new, and is there from its first speaker on.

        Raises: InputError for a directory that is no gallery, or of another system than `digest`.
        """
        self.folder, self.digest = Path(folder), digest
        self.description = self.folder / "gallery.json"
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{folder}: is a file; a gallery is a directory")
        if self.description.exists():
            self.check_network()
        elif create:
            self.check_empty()
        else:
            raise InputError(f"{folder}: is no gallery, there is no gallery.json; spk enroll begins one")

    def check_network(self) -> None:
        content = read_json(self.description)
        network = content.get("network") if isinstance(content, dict) else None
        if not isinstance(network, str):
            raise InputError(f"{self.description}: does not name its network; enrol in a new gallery")
        if self.digest is not None and network != self.digest:
            raise InputError(
                f"{self.folder}: was enrolled with another network ({network[:12]}..., not {self.digest[:12]}...), "
                "whose embeddings cannot be compared; name that system, or enrol in a new gallery"
            )

    def check_empty(self) -> None:
        """But for what a call has left that was killed as it began the gallery."""
        partial = f".{self.description.name}."
        if self.folder.exists() and any(not path.name.startswith(partial) for path in self.folder.iterdir()):
            raise InputError(f"{self.folder}: is a directory of other things; name a new one for the gallery")

    def begin(self) -> None:
        """Say whose embeddings these are, unless another call has done so meanwhile."""
        if not self.description.exists():
            self.check_empty()
            write_json(self.description, {"network": self.digest})
        self.check_network()

    def names(self) -> list[str]:
        """The speakers, in order."""
        return sorted(unquote(path.name.removesuffix(".npz")) for path in self.folder.glob("*.npz"))

    def file_of(self, name: str) -> Path:
        """Raises: InputError for what cannot be a name."""
        if not name.strip() or not name.isprintable():
            raise InputError(f"{name!r}: cannot be a speaker's name; give one that can be read")
        file_name = quote(name, safe=" ") + ".npz"
        if len(file_name) > LONGEST_FILE_NAME:
            raise InputError(f"{name!r}: is too long for a speaker's name")
        return self.folder / file_name

    def read(self, name: str) -> Enrolled:
        """Raises: InputError for a name that is not there, or a damaged file."""
        path = self.file_of(name)
        try:
            with np.load(path, allow_pickle=False) as content:
                recordings, digests = content["recordings"].tolist(), content["digests"].tolist()
                embeddings = [content[f"embedding_{index}"] for index in range(len(recordings))]
        except FileNotFoundError:
            known = count_and_name(self.names())
            raise InputError(f"{self.folder}: no speaker is called {name!r}; there are {known}") from None
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{path}: is damaged ({error}); remove the speaker and enrol again") from None
        return Enrolled(recordings, digests, embeddings)

    def add(self, name: str, added: Enrolled) -> Enrolled:
        """Add recordings to a speaker, who may be new, whole or not at all; returns all that is enrolled now.

        Raises: InputError where a recording is enrolled already, under this name or twice in `added`.
        """
        path = self.file_of(name)
        with alone_in(path):
            before = self.read(name) if path.exists() else Enrolled([], [], [])
            known = dict(zip(before.digests, before.recordings, strict=True))
            for recording, digest in zip(added.recordings, added.digests, strict=True):
                if digest in known:
                    raise InputError(f"{recording}: {name!r} is enrolled with it already (as {known[digest]})")
                known[digest] = recording
            now = Enrolled(
                before.recordings + added.recordings,
                before.digests + added.digests,
                before.embeddings + added.embeddings,
            )
            self.begin()
            remove_partials(self.folder)
            arrays = {f"embedding_{index}": embedding for index, embedding in enumerate(now.embeddings)}
            with whole_file(path, "wb") as file:
                np.savez(file, recordings=np.array(now.recordings), digests=np.array(now.digests), **arrays)
        return now

    def remove(self, names: Sequence[str]) -> None:
        """All of these speakers; InputError, and nothing is removed, where one is not there."""
        with alone_in(self.description):
            there = set(self.names())
            if unknown := [name for name in names if name not in there]:
                raise InputError(
                    f"{self.folder}: nobody is called {', '.join(map(repr, unknown))}; there are "
                    f"{count_and_name(there)}"
                )
            for name in names:
                path = self.file_of(name)
                with named(path):
                    path.unlink(missing_ok=True)
