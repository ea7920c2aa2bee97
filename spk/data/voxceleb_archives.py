"""VoxCeleb's archives as people have them: whole zips, or the numbered parts in which they are given out."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from spk.data.archives import JoinedFiles
from spk.data.checksums import md5_sums
from spk.errors import InputError

HOW_TO_GET = "VoxCeleb's audio is given out by its owners only: ask for it by the form at https://mm.kaist.ac.kr/datasets/voxceleb/"
PART = re.compile(r"(.+_part)([a-z]{2})")


@dataclass(frozen=True)
class Source:
    """The names of one archive: as a whole zip (the first that is there is taken), and what its parts begin with."""

    zips: tuple[str, ...]
    parts: str = ""

    def __str__(self) -> str:
        return ", ".join(self.zips) + (f" or {self.parts}aa ..." if self.parts else "")


SOURCES = {
    "vox1_dev_wav": Source(("vox1_dev_wav.zip",), "vox1_dev_wav_part"),
    "vox1_test_wav": Source(("vox1_test_wav.zip",)),
    # Parts of this name are joined to vox2_aac.zip by the owners' instructions, and to vox2_dev_aac.zip by most people.
    "vox2_dev_aac": Source(("vox2_aac.zip", "vox2_dev_aac.zip"), "vox2_dev_aac_part"),
    "vox2_test_aac": Source(("vox2_test_aac.zip",)),
}


@dataclass(frozen=True)
class VoxCelebArchive:
    """One archive: `paths` are its parts in order, or the whole zip; `zips` are the names its whole zip goes by."""

    paths: tuple[Path, ...]
    zips: tuple[str, ...]

    @property
    def shown(self) -> str:
        first, last = self.paths[0], self.paths[-1]
        return str(first) if first == last else f"{first} ... {last.name}"

    def open(self) -> io.BufferedReader:
        return io.BufferedReader(JoinedFiles(self.paths), 1 << 20)

    def state(self) -> dict[str, str]:
        """What tells that a file is another one than before: {name: size and time of the last change}."""
        found = {path.name: path.stat() for path in self.paths}
        return {name: f"{stat.st_size} bytes, changed at {stat.st_mtime_ns} ns" for name, stat in found.items()}

    def num_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.paths)


def find_archives(folder: Path, checksums: Mapping[str, str]) -> tuple[dict[str, VoxCelebArchive], list[str]]:
    """The archives in `folder` by the name of what they hold (the keys of SOURCES), and remarks on what else is there.

    Raises: InputError when a part is missing, or an archive's end.
    """
    try:
        present = {path.name: path for path in folder.iterdir() if path.is_file()}
    except FileNotFoundError:
        raise InputError(f"{folder}: no such folder; it is to hold VoxCeleb's archives") from None
    except NotADirectoryError:
        raise InputError(f"{folder}: is no folder; give the folder that holds VoxCeleb's archives") from None
    archives, remarks = {}, []
    for name, source in SOURCES.items():
        whole = [file for file in source.zips if file in present]
        numbered = sorted(file for file in present if source.parts and file.startswith(source.parts))
        parts = [file for file in numbered if PART.fullmatch(file)]
        odd = [file for file in numbered if file not in parts]
        if odd:
            remarks.append(f"{', '.join(odd)}: not read; a part is called {source.parts}aa, {source.parts}ab and so on")
        if whole:
            archives[name] = VoxCelebArchive((present[whole[0]],), source.zips)
            unread = whole[1:] + parts
            if unread:
                remarks.append(f"{', '.join(unread)}: not read, because {whole[0]} stands beside them")
        elif parts:
            check_parts(folder, source, parts, checksums)
            archives[name] = VoxCelebArchive(tuple(present[part] for part in parts), source.zips)
        if name in archives:
            for path in archives[name].paths:
                if path.stat().st_size == 0:
                    raise InputError(f"{path}: is empty; download it again")
            check_end(archives[name])
    return archives, remarks


def check_parts(folder: Path, source: Source, parts: list[str], checksums: Mapping[str, str]) -> None:
    """Raises: InputError unless the parts are those that the list of checksums names, or else without a gap."""
    listed = sorted(name for name in checksums if PART.fullmatch(name) and name.startswith(source.parts))
    unknown = [part for part in parts if listed and part not in listed]
    if unknown:
        raise InputError(
            f"{folder / unknown[0]}: {source.zips[0]} has {len(listed)} parts, to {listed[-1]}; move it away"
        )
    letters = [chr(97 + number // 26) + chr(97 + number % 26) for number in range(26 * 26)]
    upto = letters.index(parts[-1][-2:]) + 1
    expected = listed or [source.parts + letter for letter in letters[:upto]]
    missing = [part for part in expected if part not in parts]
    if missing:
        raise InputError(
            f"{folder}: {', '.join(missing)} is missing: {source.zips[0]} has {'' if listed else 'at least '}"
            f"{len(expected)} parts, and {len(parts)} are there; put it beside them"
        )


def check_end(archive: VoxCelebArchive) -> None:
    """Raises: InputError when the table that ends a zip is missing: found without reading the archive."""
    with archive.open() as stream:
        if zipfile.is_zipfile(stream):
            return
    if len(archive.paths) > 1 or PART.fullmatch(archive.paths[0].name):
        last = archive.paths[-1]
        raise InputError(
            f"{archive.shown}: the end of the zip is missing: the parts after {last.name} are not there, or it is cut "
            "off; download what is missing"
        )
    raise InputError(f"{archive.shown}: is no zip, or its end is cut off; download it again")


def known_md5(archive: VoxCelebArchive, checksums: Mapping[str, str], list_name: str) -> tuple[str, dict[str, str]]:
    """The MD5 that the list has of the joined archive ('' when it has none), and of its parts.

    Raises: InputError when neither the archive nor all its parts are in the list.
    """
    joined = next((checksums[name] for name in archive.zips if name in checksums), "")
    parts = {path.name: checksums[path.name] for path in archive.paths if path.name in checksums}
    if not joined and len(parts) < len(archive.paths):
        raise InputError(
            f"{archive.shown}: {list_name} has no MD5 of {archive.zips[0]}; add it there, give your own list with "
            "--checksums, or unpack it unchecked with --checksums none"
        )
    return joined, parts


def check_md5(
    archive: VoxCelebArchive, checksums: Mapping[str, str], list_name: str, progress: Callable[[int], object]
) -> None:
    """Read the whole archive. Raises: InputError when it, or a part, is not what the list says."""
    expected_joined, expected_parts = known_md5(archive, checksums, list_name)

    def check_part(path: Path, md5: str) -> None:
        expected = expected_parts.get(path.name, md5)
        if md5 != expected:
            raise InputError(
                f"{path}: has the MD5 {md5}, but {list_name} says {expected}: it is damaged or of another release; "
                "download it again"
            )

    joined, _ = md5_sums(archive.paths, progress, check_part)
    if expected_joined and joined != expected_joined:
        raise InputError(
            f"{archive.shown}: has the MD5 {joined}, but {list_name} says {expected_joined} of {archive.zips[0]}: it "
            "is damaged, incomplete or of another release; download it again"
        )
