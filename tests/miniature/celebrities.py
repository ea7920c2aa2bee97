"""Who is in VoxCeleb: rows of vox1_meta.csv and vox2_meta.csv, the real ones or made ones of the same form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spk.errors import InputError

VOX1_HEADER = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet"
VOX2_HEADER = "\ufeffVoxCeleb2 ID,VGGFace2 ID,Gender,Set"
VOX1_TEST = range(10270, 10310)
GIVEN = ["Ada", "Ben", "Cleo", "Dan", "Eve", "Fritz", "Gwen", "Hugo", "Ines", "Jon", "Kim", "L.J.", "Mae", "Ned"]
FAMILY = ["Archer", "Baker", "Carter", "Dyer", "Fletcher", "Glover", "Hooper", "Mason", "O'Neill", "St._Clair"]
NATIONALITIES = ["USA", "UK", "New Zealand"]


@dataclass(frozen=True)
class Celebrity:
    """A line of the metadata. `face`: the VGGFace id, in VoxCeleb1 the person's name; `nationality`: VoxCeleb1 only."""

    id: str
    face: str
    gender: str
    set: str
    nationality: str = ""


def vox1_table(lists: Path | None) -> list[Celebrity]:
    """The rows of `lists`/vox1_meta.csv, or made ones: the same ids, the same 40 test speakers."""
    if lists is not None and (lists / "vox1_meta.csv").exists():
        rows = read_rows(lists / "vox1_meta.csv", "\t", 5)
        return [Celebrity(name, face, gender, part, country) for name, face, gender, country, part in rows]
    numbers = range(10001, 11252)
    return [
        Celebrity(
            f"id{number}",
            f"{GIVEN[number % len(GIVEN)]}_{FAMILY[number // len(GIVEN) % len(FAMILY)]}",
            "mf"[number % 2],
            "test" if number in VOX1_TEST else "dev",
            NATIONALITIES[number // 2 % len(NATIONALITIES)],
        )
        for number in numbers
    ]


def vox2_table(lists: Path | None) -> list[Celebrity]:
    """The rows of `lists`/vox2_meta.csv, or made ones."""
    if lists is not None and (lists / "vox2_meta.csv").exists():
        rows = read_rows(lists / "vox2_meta.csv", ",", 4)
        return [Celebrity(name, face, gender, part) for name, face, gender, part in rows]
    numbers = range(12, 9273)
    return [
        Celebrity(f"id{number:05d}", f"n{number:06d}", "mf"[number // 3 % 2], "test" if number % 50 == 17 else "dev")
        for number in numbers
    ]


def read_rows(path: Path, separator: str, num_fields: int) -> list[list[str]]:
    """The lines below the header, in fields. Raises: InputError for a line with another number of fields."""
    rows = [[field.strip() for field in line.split(separator)] for line in path.read_text("utf-8-sig").splitlines()]
    for number, row in enumerate(rows, start=1):
        if len(row) != num_fields:
            raise InputError(f"{path}:{number}: {len(row)} fields between {separator!r}, expected {num_fields}")
    return rows[1:]


def choose(table: Sequence[Celebrity], wanted: Sequence[tuple[str, str]]) -> list[Celebrity]:
    """A celebrity for each (gender, set), by id.

    Two of a gender from the USA, then two from the UK, and so on, while there are such: so most have someone of the
    same gender and nationality, as the hard list wants, and not all are of one nation.

    Raises: InputError when the table has too few.
    """
    left = {celebrity.id: celebrity for celebrity in sorted(table, key=lambda row: row.id)}
    chosen: list[Celebrity] = []
    taken: Counter[tuple[str, str]] = Counter()
    for gender, part in wanted:
        country = ("USA", "UK")[taken[gender, part] // 2 % 2]
        fitting = [row for row in left.values() if (row.gender, row.set) == (gender, part)]
        if not fitting:
            raise InputError(f"the metadata have no {taken[gender, part] + 1} {part} speakers of gender {gender}")
        found = next((row for row in fitting if row.nationality == country), fitting[0])
        taken[gender, part] += 1
        chosen.append(left.pop(found.id))
    return chosen


def vox1_meta(celebrities: Sequence[Celebrity]) -> str:
    """vox1_meta.csv: tabs, under a header."""
    rows = sorted(celebrities, key=lambda row: row.id)
    lines = [f"{row.id}\t{row.face}\t{row.gender}\t{row.nationality}\t{row.set}" for row in rows]
    return "\n".join([VOX1_HEADER, *lines]) + "\n"


def vox2_meta(celebrities: Sequence[Celebrity]) -> str:
    """vox2_meta.csv: commas behind stray spaces, under a header with a byte-order mark."""
    rows = sorted(celebrities, key=lambda row: row.id)
    return "\n".join([VOX2_HEADER, *(f"{row.id} ,{row.face} ,{row.gender} ,{row.set} " for row in rows)]) + "\n"
