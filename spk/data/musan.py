"""MUSAN (OpenSLR 17) as lists: musan/{music,noise,speech}/<source>/<recording>.wav, with tables called ANNOTATIONS."""

from __future__ import annotations

import logging
from pathlib import Path

from spk.data.data_dir import count_and_name
from spk.errors import InputError

log = logging.getLogger(__name__)
KINDS = ("noise", "music", "speech")


def find_musan(folder: Path) -> Path:
    """The folder itself, or its musan. InputError where neither has music, noise and speech."""
    for root in (folder, folder / "musan"):
        if all((root / kind).is_dir() for kind in KINDS):
            return root.absolute()
    raise InputError(f"{folder}: has no folders {', '.join(KINDS)}, and no folder musan that has them")


def list_recordings(root: Path, kind: str) -> dict[str, str]:
    """{recording: path} of one of the KINDS. InputError: none, or two of one name."""
    paths: dict[str, str] = {}
    for path in sorted((root / kind).glob("*/*.wav")):
        if path.name.startswith("."):
            continue
        if path.stem in paths:
            raise InputError(f"{path} and {paths[path.stem]}: two recordings are called {path.stem!r}")
        if len(path.stem.split()) != 1:
            raise InputError(f"{path}: there is a blank in its name, which tables cannot hold; rename it")
        paths[path.stem] = str(path)
    if not paths:
        raise InputError(f"{root / kind}: no recording is {root / kind}/<source>/<recording>.wav")
    return paths


def read_vocals(root: Path) -> dict[str, bool]:
    """{recording: does somebody sing?} from music/<source>/ANNOTATIONS, 'recording genres Y|N artist' a line."""
    vocals = {}
    for table in sorted((root / "music").glob("*/ANNOTATIONS")):
        lines = table.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        for number, line in enumerate(lines, start=1):
            fields = line.split()
            if not fields:
                continue
            if len(fields) < 3 or fields[2] not in ("Y", "N"):
                raise InputError(f"{table}:{number}: wanted 'recording genres Y|N artist', not {line!r}")
            vocals[fields[0]] = fields[2] == "Y"
    return vocals


def without_vocals(root: Path, paths: dict[str, str]) -> dict[str, str]:
    """The music in which nobody sings, by the annotations; music that they do not have is left out too."""
    vocals = read_vocals(root)
    sung = [name for name in paths if vocals.get(name)]
    unknown = [name for name in paths if name not in vocals]
    if sung:
        log.info("music with vocals is left out, %s", count_and_name(sung))
    if unknown:
        log.info("music of which no ANNOTATIONS say whether it has vocals is left out, %s", count_and_name(unknown))
    return {name: path for name, path in paths.items() if vocals.get(name) is False}
