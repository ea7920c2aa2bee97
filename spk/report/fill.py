"""Measured numbers in the tables of a RESULTS.md, beside the published ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spk.errors import InputError
from spk.report.table import interval_cell, markdown_table

# A row is known by the first four and its seed. Those from "EER %" on are what is filled.
HEADINGS = ("System", "Trained on", "List", "Back-end", "Trials", "Published EER %", "EER %", "95 % interval")
HEADINGS += ("Seed", "Commit", "Begun", "Machine")
NUM_KEYS, NUM_TEXT_COLUMNS = 4, 4
TRIALS, MEASURED, SEED = (HEADINGS.index(name) for name in ("Trials", "EER %", "Seed"))


@dataclass
class Table:
    """One with HEADINGS: its lines in the text, and its rows of cells."""

    first_line: int
    end_line: int
    rows: list[list[str]]


class ResultsFile:
    """A text whose tables can be filled. All outside of them stays as it is, byte by byte."""

    def __init__(self, text: str, name: str) -> None:
        """Raises: InputError for no such table, or `name:line: ...` for a row of it with too few or too many cells."""
        self.lines = text.split("\n")
        self.tables = find_tables(self.lines, name)

    def rows_of(self, system: str, training: str) -> list[list[str]]:
        rows = (row for table in self.tables for row in table.rows)
        return [row for row in rows if row[:2] == [system, training]]

    def fill(self, row: list[str], measured: list[str]) -> None:
        """Put `measured`, the cells from "EER %" on, into the row of that seed, an empty one, or a new one below."""
        table = next(table for table in self.tables if row in table.rows)
        own = [other for other in table.rows if other[:NUM_KEYS] == row[:NUM_KEYS]]
        seed = measured[SEED - MEASURED]
        found = [other for other in own if other[SEED] == seed and other[MEASURED]]
        found += [other for other in own if not any(other[MEASURED:])]
        if not found:
            found = [own[-1][:MEASURED]]
            place = max(index for index, other in enumerate(table.rows) if other is own[-1])
            table.rows.insert(place + 1, found[0])
        found[0][MEASURED:] = measured
        self.write(table)

    def write(self, table: Table) -> None:
        """Its rows into the lines, which keep their kind of end."""
        end = "\r" if self.lines[table.first_line].endswith("\r") else ""
        made = [line + end for line in markdown_table(HEADINGS, table.rows, NUM_TEXT_COLUMNS).split("\n")[:-1]]
        if not self.lines[table.end_line - 1].endswith("\r"):
            made[-1] = made[-1].removesuffix("\r")
        grown = len(made) - (table.end_line - table.first_line)
        self.lines[table.first_line : table.end_line] = made
        for other in self.tables:
            if other.first_line > table.first_line:
                other.first_line += grown
                other.end_line += grown
        table.end_line += grown

    def text(self) -> str:
        return "\n".join(self.lines)


def find_tables(lines: list[str], name: str) -> list[Table]:
    tables = []
    for first, line in enumerate(lines):
        if cells_of(line) != list(HEADINGS):
            continue
        end = first + 1
        while end < len(lines) and lines[end].startswith("|"):
            end += 1
        rows = [cells_of(line) for line in lines[first + 2 : end]]
        for number, row in enumerate(rows, start=first + 3):
            if len(row) != len(HEADINGS):
                raise InputError(f"{name}:{number}: {len(row)} cells, but the table has {len(HEADINGS)} columns")
        tables.append(Table(first, end, rows))
    if not tables:
        raise InputError(f"{name}: has no table to fill, one with the columns {', '.join(HEADINGS)}")
    return tables


def cells_of(line: str) -> list[str]:
    """[] for a line of no table."""
    line = line.strip()
    return [cell.strip() for cell in line[1:-1].split("|")] if line.startswith("|") and line.endswith("|") else []


def number_of(cell: str) -> int | None:
    """'37,720' -> 37720"""
    digits = cell.replace(",", "")
    return int(digits) if digits.isdecimal() else None


def measured_cells(row: Mapping[str, Any], run: Mapping[str, Any], seed: int) -> list[str]:
    """The cells from "EER %" on, from a row of results and what run.json says of the system's training."""
    commit, plus, changes = (run["commit"] or "unknown").partition("+")
    machine = run["machine"]
    name = machine["cuda"] or f"{machine['processor']}, {machine['cores']} cores"
    return [
        f"{100 * row['eer']:.2f}",
        interval_cell(row),
        str(seed),
        f"{commit[:12]}{plus}{changes}",
        run["begun"][:10],
        name.replace("|", "/"),
    ]
