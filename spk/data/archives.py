"""Unpack the archives of others: zip and tar, also in numbered parts; nothing leaves the folder, each file is whole."""

from __future__ import annotations

import bisect
import contextlib
import errno
import io
import itertools
import lzma
import os
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, Protocol

from spk.errors import InputError

Progress = Callable[[int], object]
BLOCK = 1 << 20
FILE, FOLDER = "a file", "a folder"
DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    struct.error,
    NotImplementedError,  # an unknown compression
    OverflowError,
    ValueError,  # offsets and names that cannot be
)


class JoinedFiles(io.RawIOBase):
    """Files, one after another, read as one seekable file: the parts of an archive, without a joined copy."""

    def __init__(self, paths: Sequence[Path]) -> None:
        super().__init__()
        self.paths = paths
        self.position = 0
        with contextlib.ExitStack() as opened:
            self.files = [opened.enter_context(path.open("rb", buffering=0)) for path in paths]
            self.ends = list(itertools.accumulate(os.fstat(file.fileno()).st_size for file in self.files))
            self.opened = opened.pop_all()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.ends[-1]}[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, "lies before the first byte")  # as files do, for zipfile tells by that
        self.position = base + offset
        return self.position

    def readinto(self, buffer: memoryview) -> int:
        number = bisect.bisect_right(self.ends, self.position)
        if number == len(self.files):
            return 0
        begin = self.ends[number - 1] if number else 0
        try:
            self.files[number].seek(self.position - begin)
            count = self.files[number].readinto(memoryview(buffer)[: self.ends[number] - self.position])
        except OSError as error:
            error.filename = os.fspath(self.paths[number])
            raise
        if not count:
            raise InputError(f"{self.paths[number]}: became shorter while it was read; run the same command again")
        self.position += count
        return count

    def close(self) -> None:
        if not self.closed:
            self.opened.close()
        super().close()


class Entry(NamedTuple):
    """What an archive says of a member. `kind` is FILE, FOLDER, or what else it is, in words."""

    name: str
    size: int
    kind: str
    crc: int | None = None  # None where the archive does not say


class Archive(Protocol):
    """What `unpack` asks of an archive: both methods may be called more than once."""

    shown: str  # the archive's name in messages

    def entries(self) -> Iterator[Entry]: ...

    def files(self, wanted: Collection[str]) -> Iterator[tuple[str, IO[bytes]]]:
        """(name as in `entries`, content) of each wanted file; the content is read before the next one is asked for."""
        ...


class ZipArchive:
    """A zip in a seekable stream. The CRC of each member is checked when it is read."""

    def __init__(self, stream: IO[bytes], shown: str) -> None:
        self.shown = shown
        with damage_of(shown):
            self.zip = zipfile.ZipFile(stream)
            # In the order in which they lie, for the sake of disks that turn.
            self.infos = sorted(self.zip.infolist(), key=lambda info: info.header_offset)

    def entries(self) -> Iterator[Entry]:
        for info in self.infos:
            yield Entry(info.filename, info.file_size, kind_in_zip(info), info.CRC)

    def files(self, wanted: Collection[str]) -> Iterator[tuple[str, IO[bytes]]]:
        for info in self.infos:
            if info.filename in wanted and not info.is_dir():
                with damage_of(self.shown, info.filename):
                    file = self.zip.open(info)
                with file:
                    yield info.filename, file


def kind_in_zip(info: zipfile.ZipInfo) -> str:
    unix_kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the zip was not made on Unix
    if unix_kind == stat.S_IFLNK:
        return "a symbolic link"
    if unix_kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a device or pipe"
    if info.flag_bits & 1:
        return "an encrypted file"
    return FOLDER if info.is_dir() else FILE


class TarArchive:
    """A tar, compressed or not, in a seekable stream."""

    def __init__(self, stream: IO[bytes], shown: str, progress: Progress = lambda num_bytes: None) -> None:
        """`progress` is told how many bytes of the archive `entries` has read."""
        self.stream, self.shown, self.progress = stream, shown, progress

    def entries(self) -> Iterator[Entry]:
        read = 0
        with self.opened() as tar:
            for info in tar:
                yield Entry(info.name, info.size, kind_in_tar(info))
                tar.members = []  # TarFile remembers every member
                self.progress(self.stream.tell() - read)
                read = self.stream.tell()
            # tarfile takes a damaged header for the end, and the compression's checksum comes after the end.
            tar.fileobj.seek(tar.offset)
            while block := tar.fileobj.read(BLOCK):
                if block.strip(b"\0"):
                    raise tarfile.ReadError("a header in the middle is damaged")
            self.progress(self.stream.tell() - read)

    def files(self, wanted: Collection[str]) -> Iterator[tuple[str, IO[bytes]]]:
        with self.opened() as tar:
            for info in tar:
                if info.isreg() and info.name in wanted:
                    with tar.extractfile(info) as file:
                        yield info.name, file
                tar.members = []

    @contextlib.contextmanager
    def opened(self) -> Iterator[tarfile.TarFile]:
        self.stream.seek(0)
        with damage_of(self.shown), tarfile.open(fileobj=self.stream, mode="r:*") as tar:
            yield tar


def kind_in_tar(info: tarfile.TarInfo) -> str:
    if info.isreg():
        return FILE
    if info.isdir():
        return FOLDER
    if info.issym():
        return "a symbolic link"
    return "a hard link" if info.islnk() else "a device or pipe"


@contextlib.contextmanager
def damage_of(shown: str, member: str = "") -> Iterator[None]:
    """What the libraries say of a damaged archive, as an InputError that names the archive, and the member if known."""
    try:
        yield
    except InputError:
        raise
    except DAMAGE as error:
        raise damaged(shown, member, error) from error
    except OSError as error:
        # Without a number: gzip and bz2 use this class for damage. EINVAL: an offset that cannot be.
        if error.errno not in (None, errno.EINVAL) or error.filename is not None:
            raise
        raise damaged(shown, member, error) from error


def damaged(shown: str, member: str, error: Exception) -> InputError:
    where = f"{shown}: {member!r}" if member else shown
    said = str(error) or type(error).__name__
    return InputError(f"{where}: the archive is damaged or cut off ({said}); download it again")


# ---- unpacking


@dataclass(frozen=True)
class Plan:
    """What is to be written: {name in the archive: (path inside the folder, entry)}, and how many files stand there."""

    missing: dict[str, tuple[str, Entry]]
    num_there: int

    @property
    def num_bytes(self) -> int:
        return sum(entry.size for _, entry in self.missing.values())


def plan_unpacking(
    archive: Archive, folder: Path, resumed: bool = False, top: str = "", reserved: Collection[str] = ()
) -> Plan:
    """Look at every entry of the archive, and at what stands in the folder already; make the folder.

    With `resumed`, all that stands there comes from this very archive, so that a file of the right size is the right
    one. Without, its CRC must be right too; a file that differs is removed. `reserved`: names at the top of the folder
    that are the caller's.

    Raises: InputError for a damaged archive, a member that would lie outside the folder or is neither file nor folder,
    names that cannot be side by side or are reserved, a file on the disk in the place of a folder or the other way
    round, too little space, and an archive without a file in `top`.
    """
    files = checked_files(archive, reserved)
    if top and not any(path.startswith(f"{top}/") for path, _ in files.values()):
        raise InputError(f"{archive.shown}: holds no file in {top}/, so it is another archive; nothing is unpacked")
    missing = {name: file for name, file in files.items() if not stands(folder / file[0], file[1], resumed)}
    folder.mkdir(parents=True, exist_ok=True)
    replaced = [] if resumed else [folder / path for path, _ in missing.values() if (folder / path).exists()]
    freed = sum(path.stat().st_size for path in replaced)
    check_room(archive.shown, folder, [entry.size for _, entry in missing.values()], freed)
    for path in replaced:
        path.unlink()
    return Plan(missing, len(files) - len(missing))


def unpack(archive: Archive, folder: Path, plan: Plan, progress: Progress = lambda num_bytes: None) -> None:
    """Write the planned files, each whole; a crash of the machine may lose them, so sync before a stamp is written.

    `progress` is told how many bytes were written. Raises: InputError for a damaged member, by name.
    """
    for name, content in archive.files(plan.missing):
        path, entry = plan.missing[name]
        with damage_of(archive.shown, name):
            write_whole(folder / path, content)
        progress(entry.size)


def checked_files(archive: Archive, reserved: Collection[str] = ()) -> dict[str, tuple[str, Entry]]:
    """{name in the archive: (path inside the folder, entry)}. Raises: InputError; see `plan_unpacking`."""
    files: dict[str, Entry] = {}  # by path
    folders: set[str] = set()
    for entry in archive.entries():
        path = path_inside(archive.shown, entry.name)
        if entry.kind == FILE:
            if path == "." or path.partition("/")[0] in reserved:
                raise InputError(f"{archive.shown}: no file may be called {entry.name!r}; nothing is unpacked")
            if not alike(files.setdefault(path, entry), entry):
                raise InputError(
                    f"{archive.shown}: holds {entry.name!r} twice, with different contents; nothing is unpacked"
                )
            add_folder(folders, path.rpartition("/")[0])
        elif entry.kind == FOLDER:
            add_folder(folders, path)
        else:
            raise InputError(
                f"{archive.shown}: {entry.name!r} is {entry.kind}, which has no place in an archive of speech; nothing "
                "is unpacked: get the archive from its owner again"
            )
    if not files:
        raise InputError(f"{archive.shown}: holds no file; download it again")
    if both := files.keys() & folders:
        raise InputError(f"{archive.shown}: {min(both)!r} is a file and a folder in it; nothing is unpacked")
    return {entry.name: (path, entry) for path, entry in files.items()}


def alike(first: Entry, second: Entry) -> bool:
    """Whether two entries of one path have the same content, as far as the archive says it."""
    return first == second or (first.crc is not None and first[1:] == second[1:])


def add_folder(folders: set[str], path: str) -> None:
    """Add a folder, and those around it."""
    while path and path not in folders:
        folders.add(path)
        path = path.rpartition("/")[0]


def path_inside(shown: str, name: str) -> str:
    """The member's path relative to the folder. Raises: InputError when it would lie outside, on any system."""
    absolute = name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name)
    if absolute or ".." in re.split(r"[/\\]", name) or "\0" in name:
        reason = "is an absolute path" if absolute else "climbs out of the folder"
        raise InputError(
            f"{shown}: {name!r} {reason}; nothing is unpacked: the archive is not what it claims, get it from its owner"
        )
    return str(PurePosixPath(name))


def stands(path: Path, entry: Entry, resumed: bool) -> bool:
    """Is the entry's file there? By its size when `resumed`, by its CRC too when not.

    Raises: InputError when a folder stands in its place, or a file in that of a folder around it.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        above = next(folder for folder in path.parents if folder.is_file())
        raise InputError(f"{above}: is a file where a folder of the archive belongs; remove it") from None
    if stat.S_ISDIR(found.st_mode):
        raise InputError(f"{path}: is a folder where a file of the archive belongs; remove it")
    if not stat.S_ISREG(found.st_mode) or found.st_size != entry.size:
        return False
    return resumed or (entry.crc is not None and crc_of(path) == entry.crc)


def crc_of(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            crc = zlib.crc32(block, crc)
    return crc


def shown_size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.3g} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.3g} MB"


def check_room(shown: str, folder: Path, sizes: Collection[int], freed: int = 0) -> None:
    """Raises: InputError when the file system of `folder` has too little space, or can hold too few files more.

    `freed`: bytes of files that will be removed first.
    """
    system = os.statvfs(folder)
    needed = sum(-(-size // system.f_frsize) for size in sizes) * system.f_frsize
    free = system.f_bavail * system.f_frsize + freed
    if needed > free:
        raise InputError(
            f"{folder}: unpacking {shown} takes {shown_size(needed)}, but {shown_size(free)} are free; free some "
            "space, or choose another disk"
        )
    if system.f_files and len(sizes) > system.f_favail:
        raise InputError(
            f"{folder}: unpacking {shown} makes {len(sizes)} files, but the file system can hold {system.f_favail} "
            "more (inodes, see df -i); choose another disk"
        )


def write_whole(path: Path, content: IO[bytes]) -> None:
    """As spk.data.files.whole_file, but not flushed to the disk: a million small files would take hours."""
    partial = path.with_name(f".{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with partial.open("wb") as file:
            shutil.copyfileobj(content, file, BLOCK)
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None and error.errno is not None:
            error.filename = os.fspath(path)
        raise
