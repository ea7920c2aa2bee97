"""RIRS_NOISES (OpenSLR 28) as lists: room impulse responses, simulated for three sizes of rooms, and recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spk.errors import InputError
from spk.schema import nearest

LISTS = {
    "smallroom": "simulated_rirs/smallroom/rir_list",
    "mediumroom": "simulated_rirs/mediumroom/rir_list",
    "largeroom": "simulated_rirs/largeroom/rir_list",
    "real": "real_rirs_isotropic_noises/rir_list",
}
ROOT = "RIRS_NOISES"  # with which the paths in the lists begin


def find_rirs(folder: Path) -> Path:
    """The folder itself, or its RIRS_NOISES. InputError where neither has one of the LISTS."""
    for root in (folder, folder / ROOT):
        if any((root / place).is_file() for place in LISTS.values()):
            return root.absolute()
    raise InputError(f"{folder}: has no {LISTS['smallroom']} or other list of responses; is it the folder {ROOT}?")


def list_responses(root: Path, rooms: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """{response: path} and {response: its room} of those of the LISTS that `rooms` names.

    Responses and rooms are called <list>-<their name in it>: several lists count from 1. InputError: an unknown list,
    one that is not there, and (with file and line) what is no line of such a list.
    """
    paths: dict[str, str] = {}
    room_of: dict[str, str] = {}
    for name in rooms:
        if name not in LISTS:
            raise InputError(f"--rooms: no list is called {name!r}; {nearest(name, LISTS)}")
        table = root / LISTS[name]
        if not table.is_file():
            raise InputError(f"{table}: no such file; --rooms names the lists to take")
        lines = table.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            rir, room, path = parse_line(table, number, line)
            response = f"{name}-{rir}"
            if response in paths:
                raise InputError(f"{table}:{number}: response {rir!r} stands on an earlier line already")
            paths[response] = str(root / path)
            room_of[response] = f"{name}-{room}"
    if not paths:
        raise InputError(f"{root}: the lists {', '.join(rooms)} name no response")
    return paths, room_of


def parse_line(table: Path, number: int, line: str) -> tuple[str, str, str]:
    """'--rir-id A --room-id B [--<other> C ...] RIRS_NOISES/PATH' -> A, B, PATH."""
    *words, path = line.split()
    options = dict(zip(words[::2], words[1::2], strict=False))
    folder, _, place = path.partition("/")
    climbs = ".." in place.split("/")
    if len(words) % 2 or not {"--rir-id", "--room-id"} <= options.keys() or folder != ROOT or not place or climbs:
        raise InputError(f"{table}:{number}: wanted '--rir-id A --room-id B {ROOT}/PATH', not {line!r}")
    return options["--rir-id"], options["--room-id"], place
