"""Results as a Markdown table whose columns also line up as plain text."""

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
    cells = [list(COLUMNS), *([cell(row) for cell in COLUMNS.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rule = ["-" * width if i < NUM_TEXT_COLUMNS else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    lines = [cells[0], rule, *cells[1:]]
    padded = [
        [cell.ljust(width) if i < NUM_TEXT_COLUMNS else cell.rjust(width) for i, (cell, width) in columns]
        for columns in (enumerate(zip(line, widths, strict=True)) for line in lines)
    ]
    return f"# {title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in padded)
