"""VoxCeleb's metadata: which set a speaker belongs to, gender and nationality."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from spk.data.speaker_folders import GENDERS
from spk.errors import InputError

PARTS = ("dev", "test")
SPEAKER = re.compile(r"id[0-9]{5}")


@dataclass(frozen=True)
class Facts:
    """What the metadata say of a speaker. `source`: file and line."""

    corpus: str  # vox1 or vox2
    part: str  # dev or test
    gender: str  # m, f or '' where unknown
    nationality: str  # '' in VoxCeleb2
    source: str


def read_metadata(paths: Iterable[str | os.PathLike[str]]) -> dict[str, Facts]:
    """{speaker: facts} from vox1_meta.csv (tabs) and vox2_meta.csv (commas), as they are published.

    The header names the columns: VoxCeleb1 ID or VoxCeleb2 ID, Gender, Set, perhaps Nationality. Blanks around fields
    and a byte-order mark do not count. Raises InputError with file and line.
    """
    facts: dict[str, Facts] = {}
    for path in paths:
        for number, row in read_rows(Path(path)):
            corpus = "vox1" if "VoxCeleb1 ID" in row else "vox2"
            speaker, part, gender = row[f"VoxCeleb{corpus[-1]} ID"], row["Set"], row["Gender"].lower()
            where = f"{path}:{number}"
            if not SPEAKER.fullmatch(speaker):
                raise InputError(f"{where}: {speaker!r} is no speaker's id, which is 'id' and five digits")
            if speaker in facts:
                raise InputError(f"{where}: speaker {speaker!r} stands in {facts[speaker].source} already")
            if part not in PARTS:
                raise InputError(f"{where}: set {part!r} of speaker {speaker!r}; allowed: {' or '.join(PARTS)}")
            if gender not in GENDERS:
                raise InputError(f"{where}: gender {gender!r} of speaker {speaker!r}; allowed: m, f or nothing")
            facts[speaker] = Facts(corpus, part, GENDERS[gender], row.get("Nationality", ""), where)
    return facts


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, {column: field}) of a table whose fields have tabs between, or commas where there is no tab."""
    lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").split("\n")
    between = "\t" if "\t" in lines[0] else ","
    header = [name.strip() for name in lines[0].split(between)]
    ids = [name for name in ("VoxCeleb1 ID", "VoxCeleb2 ID") if name in header]
    if len(ids) != 1 or "Gender" not in header or "Set" not in header:
        raise InputError(
            f"{path}:1: the columns are to be 'VoxCeleb1 ID' or 'VoxCeleb2 ID', 'Gender' and 'Set', as in "
            f"vox1_meta.csv and vox2_meta.csv; there are: {', '.join(header)}"
        )
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        fields = [text.strip() for text in line.split(between)]
        if len(fields) != len(header):
            raise InputError(f"{path}:{number}: {len(fields)} fields, but the header has {len(header)}")
        yield number, dict(zip(header, fields, strict=True))
