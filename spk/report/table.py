"""Markdown tables whose columns also line up as plain text, and the one of results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from spk.backend.calibration import CALIBRATED
from spk.metrics.summary import P_TARGETS

Row = Mapping[str, Any]
NOT_KNOWN = "-"
P_ACTUAL = "0.01"  # prior probability of a target at which the cost of the Bayes threshold is shown


def is_log_likelihood_ratio(backend: str) -> bool:
    """Whether scores of this back-end have a meaning without a threshold of their own; normalised ones have not."""
    return backend == "plda" or backend.startswith(CALIBRATED)


def of_ratios(value: Callable[[Row], float | None]) -> Callable[[Row], str]:
    """The cell of a number, None for infinity, that is only defined for log-likelihood ratios."""

    def cell(row: Row) -> str:
        if not is_log_likelihood_ratio(row["backend"]):
            return NOT_KNOWN
        return "inf" if value(row) is None else f"{value(row):.4f}"

    return cell


def interval_cell(row: Row) -> str:
    interval = row["interval"] and row["interval"]["eer"]
    return f"{100 * interval[0]:.2f}-{100 * interval[1]:.2f}" if interval else NOT_KNOWN


PUBLISHED = "Published EER %"  # a column of tables that have any such number


def published_cell(row: Row) -> str:
    return f"{100 * row['published']['eer']:.2f}" if row.get("published") else NOT_KNOWN


# Heading -> the text of a row's cell. What has a number in it is aligned to the right. The interval is that of the EER.
COLUMNS: dict[str, Callable[[Row], str]] = {
    "System": lambda row: row["system"],
    "Test set": lambda row: row["test_set"],
    "Back-end": lambda row: row["backend"],
    "Targets": lambda row: str(row["num_targets"]),
    "Non-targets": lambda row: str(row["num_nontargets"]),
    "EER %": lambda row: f"{100 * row['eer']:.2f}",
    "95 % interval": interval_cell,
    PUBLISHED: published_cell,
    **{f"minDCF({p})": lambda row, p=p: f"{row['min_dcf'][p]:.4f}" for p in P_TARGETS},
    "minCllr": lambda row: f"{row['min_cllr']:.4f}",
    "Cllr": of_ratios(lambda row: row["cllr"]),
    f"actDCF({P_ACTUAL})": of_ratios(lambda row: row["act_dcf"][P_ACTUAL]),
}
NUM_TEXT_COLUMNS = 3


def results_table(rows: Sequence[Row], title: str) -> str:
    """'# title', an empty line and the table; one line a row. Below it, where published numbers come from."""
    first, *others = [f"{line}\n" for line in quotation_lines(rows)] or [""]
    quotations = first + "".join(f"- {line}" for line in others)
    columns = results_cells(rows)
    lines = list(zip(*columns.values(), strict=True))
    table = f"# {title}\n\n" + markdown_table(list(columns), lines, NUM_TEXT_COLUMNS)
    return table + (f"\n{quotations}" if quotations else "")


def results_cells(rows: Sequence[Row]) -> dict[str, list[str]]:
    """{heading: the cell of each row}."""
    with_published = any("published" in row for row in rows)
    return {
        heading: [cell(row) for row in rows]
        for heading, cell in COLUMNS.items()
        if heading != PUBLISHED or with_published
    }


def quotation_lines(rows: Sequence[Row]) -> list[str]:
    """What published numbers are, then for each of them its source and whether it can be compared; [] without any."""
    if not any("published" in row for row in rows):
        return []
    lines = [f"{PUBLISHED}: quoted, not measured here; {NOT_KNOWN}: nothing is published for that row."]
    for row in rows:
        if quoted := row.get("published"):
            reasons = "; ".join(quoted["differs"])
            lines.append(
                f"{row['test_set']}, {row['backend']}: {published_cell(row)} is {quoted['source']} "
                f"({quoted['remark']}). "
                + (f"Not comparable: {reasons}." if reasons else "The same config, data and list.")
            )
    return lines


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]], num_text_columns: int) -> str:
    """One line a row; the first columns are texts, aligned to the left, the others numbers."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    rule = ["-" * width if i < num_text_columns else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    padded = [
        [cell.ljust(width) if i < num_text_columns else cell.rjust(width) for i, (cell, width) in columns]
        for columns in (enumerate(zip(line, widths, strict=True)) for line in (headings, rule, *rows))
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in padded)
