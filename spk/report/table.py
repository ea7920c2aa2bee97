"""Markdown tables whose columns also line up as plain text, and the one of results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spk.metrics.summary import P_TARGETS

Row = Mapping[str, Any]

# Heading -> the text of a row's cell. What has a number in it is aligned to the right.
COLUMNS: dict[str, Callable[[Row], str]] = {
    "System": lambda row: row["system"],
    "Test set": lambda row: row["test_set"],
    "Back-end": lambda row: row["backend"],
    "Targets": lambda row: str(row["num_targets"]),
    "Non-targets": lambda row: str(row["num_nontargets"]),
    "EER %": lambda row: f"{100 * row['eer']:.2f}",
    "Hull EER %": lambda row: f"{100 * row['rocch_eer']:.2f}",
    **{f"minDCF({p})": lambda row, p=p: f"{row['min_dcf'][p]:.4f}" for p in P_TARGETS},
}
NUM_TEXT_COLUMNS = 3


def results_table(rows: Sequence[Row], title: str) -> str:
    """'# title', an empty line and the table; one line a row."""
    cells = [[cell(row) for cell in COLUMNS.values()] for row in rows]
    return f"# {title}\n\n" + markdown_table(list(COLUMNS), cells, NUM_TEXT_COLUMNS)


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]], num_text_columns: int) -> str:
    """One line a row; the first columns are texts, aligned to the left, the others numbers."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    rule = ["-" * width if i < num_text_columns else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    padded = [
        [cell.ljust(width) if i < num_text_columns else cell.rjust(width) for i, (cell, width) in columns]
        for columns in (enumerate(zip(line, widths, strict=True)) for line in (headings, rule, *rows))
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in padded)
