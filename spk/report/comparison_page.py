"""The page of a comparison: for each test set and back-end a table and DET curves, then sensitivity and training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from spk.metrics.error_rates import error_rates
from spk.report.comparison import EXPLANATION, HEADINGS, Comparison, Group, Row, mean_cell
from spk.report.figures import DetCurve, det_figure, det_marks, histogram_figure
from spk.report.html import bullets, figure, figures, folded, page, paragraph, table
from spk.report.results import ScoreFile
from spk.report.run_figures import training_section
from spk.report.sensitivity import sensitivity_figure, variations
from spk.report.shown import middle, shown_systems, shown_text
from spk.report.svg import in_svg
from spk.report.table import NOT_KNOWN, is_log_likelihood_ratio

LEVEL = 0.05  # a difference with a smaller p, corrected for all systems of its table, is called one
VERDICTS = (
    f"▼ better and ▲ worse: the EER differs from the reference's with p < {LEVEL:g} after Holm's correction; ≈: the "
    "trials and seeds at hand show no difference, which does not mean that there is none."
)
REFERENCE_SIGN = "○"
SIGNS = f"▼▲≈{REFERENCE_SIGN}"
AGAINST = "Against the reference"
MOST_WITH_EACH_SEED = 4  # systems whose DET curves of all seeds are told apart
# Columns that the table of a group does without, and one that comes last: it says little where there is little width.
ELSEWHERE = ("Test set", "Back-end", "Seeds")


def comparison_page(comparison: Comparison) -> str:
    """Whole; score files are read again, a group at a time."""
    groups: dict[Group, list[Row]] = {}
    for row in comparison.rows:
        groups.setdefault((row.test_set, row.backend), []).append(row)
    reference = comparison.grid.reference
    shown = {
        group: shown_systems({row.system: eer_of(row) for row in rows}, reference) for group, rows in groups.items()
    }
    drawn = {name for names in shown.values() for name in names}
    # A system has the same line in all figures, and its number is small where few of many are drawn.
    styles = {name: number for number, name in enumerate(name for name in comparison.configs if name in drawn)}
    sections = [("Overview", overview(comparison, groups))] if len(groups) > 1 else []
    for group, rows in groups.items():
        sections.append(
            (", ".join(group), group_section(comparison, group, rows, {n: styles[n] for n in shown[group]}))
        )
    sections.append(("Sensitivity", sensitivity_section(comparison, groups)))
    sections.append(
        ("Training", training_part(comparison, {name: styles[name] for name in next(iter(shown.values()))}))
    )
    sections.append(("Made from", provenance_section(comparison)))
    lead = paragraph(f"{EXPLANATION} The reference is {reference}. {VERDICTS}")
    if comparison.missing:
        lead += paragraph(comparison.missing)
    name = Path(comparison.grid.path).stem
    return page(f"Comparison {name}: {len(comparison.configs)} systems, {seeds_text(comparison)}", lead, sections)


def seeds_text(comparison: Comparison) -> str:
    count = len(comparison.grid.seeds)
    return f"{count} seeds" if count > 1 else "one seed"


def eer_of(row: Row) -> float | None:
    """The mean over seeds."""
    return row.result["eer"]["mean"] if row.result is not None else None


def verdict(row: Row, reference: str) -> str:
    """What the EER says, as a word with a sign: colours are not everybody's."""
    if row.system == reference:
        return "reference"
    if row.result is None:
        return "no scores"
    p, difference = row.result["eer"]["p_holm"], row.result["eer"]["difference"]
    if p is None or difference is None:
        return "not known"
    if p >= LEVEL:
        return "≈ no difference"
    return "▼ better" if difference < 0 else "▲ worse"


def overview(comparison: Comparison, groups: Mapping[Group, Sequence[Row]]) -> str:
    """The EER of each system in each group, the best one of the first group first."""
    first = next(iter(groups))
    known = {row.system: eer_of(row) for row in groups[first]}
    ordered = sorted(known, key=lambda name: float("inf") if known[name] is None else known[name])
    cells: dict[str, list[str]] = {name: [name] for name in ordered}
    for rows in groups.values():
        for row in rows:
            sign = REFERENCE_SIGN if row.system == comparison.grid.reference else verdict(row, "")[0]
            eer = mean_cell(row.result["eer"], 100, 2) if row.result is not None else NOT_KNOWN
            cells[row.system].append(f"{eer} {sign}" if sign in SIGNS else eer)
    headings = ["System", *(", ".join(group) for group in groups)]
    caption = f"EER in percent, the best on {', '.join(first)} first; {REFERENCE_SIGN}: the reference"
    return table(caption, headings, list(cells.values()), num_text_columns=1)


def group_section(comparison: Comparison, group: Group, rows: Sequence[Row], styles: Mapping[str, int]) -> str:
    """`styles`: {a system that is drawn: its number among the line styles}."""
    test_set, backend = group
    headings = ["System", AGAINST, *(heading for heading in HEADINGS[1:] if heading not in ELSEWHERE), "Seeds"]
    known = [dict(zip(HEADINGS, row.cells(), strict=True)) for row in rows]
    known = [cells | {AGAINST: verdict(row, comparison.grid.reference)} for cells, row in zip(known, rows, strict=True)]
    headings = [one for one in headings if any(own[one] != NOT_KNOWN for own in known)]
    cells = [[own[heading] for heading in headings] for own in known]
    content = table(f"Systems on {test_set}, back-end {backend}", headings, cells, num_text_columns=2)
    each_seed = len(rows) <= MOST_WITH_EACH_SEED
    curves, panels = [], []
    for row in rows:
        scores, targets, nontargets = comparison.scores[group].get(row.system, []), [], []
        if row.system not in styles or not scores:
            continue
        for one in scores:
            trials, values = one.read()
            targets.append(values[trials.is_target])
            nontargets.append(values[~trials.is_target])
        drawn = range(len(scores)) if each_seed else [middle(row.result["eer"]["values"])]
        for number, seed in enumerate(drawn):
            rates = error_rates(targets[seed], nontargets[seed])
            curves.append(DetCurve("" if number else row.system, rates, styles[row.system]))
        ratios = is_log_likelihood_ratio(backend)
        drawing = histogram_figure(row.system, np.concatenate(targets), np.concatenate(nontargets), ratios)
        caption = f"{row.system}: scores of target and non-target trials" + several(scores)
        panels.append(figure(in_svg(drawing), caption))
    if curves:
        several_seeds = len(comparison.grid.seeds) > 1
        which = (
            "one for each seed, in the line of its system" if each_seed else "of each system the seed of the median EER"
        )
        seeds = f": {which}" if several_seeds else ""
        caption = f"DET curves on {test_set}, back-end {backend}{seeds}; {det_marks(len(curves))}."
        content += figures(
            [figure(in_svg(det_figure(curves)), f"{caption} {shown_text(len(styles), len(rows))}".strip())]
        )
        count = f"{len(panels)} of {len(rows)}" if len(panels) < len(rows) else f"{len(panels)}"
        content += folded(f"Distributions of scores on {test_set}, {backend} ({count})", figures(panels))
    return content


def several(scores: Sequence[ScoreFile]) -> str:
    return f", {len(scores)} seeds together." if len(scores) > 1 else "."


def training_part(comparison: Comparison, styles: Mapping[str, int]) -> str:
    """Of the systems that the figures of the first group show."""
    folders = {name: comparison.folders[name] for name in styles}
    losses = {name: comparison.configs[name].loss for name in styles}
    said = shown_text(len(styles), len(comparison.configs))
    return (paragraph(said, "note") if said else "") + training_section(folders, losses, styles)


def sensitivity_section(comparison: Comparison, groups: Mapping[Group, Sequence[Row]]) -> str:
    """For each number in which systems differ a figure; of many test sets and back-ends the first one is unfolded."""
    found = variations(comparison.configs)
    if not found:
        return paragraph("No two systems differ in one number of the config alone: there is nothing to draw.", "note")
    first, others, missing = [], [], []
    for variation in found:
        drawn = []
        for (test_set, backend), rows in groups.items():
            results = {row.system: row.result for row in rows if row.result is not None}
            drawing = sensitivity_figure(variation, results)
            if drawing is not None:
                caption = (
                    f"EER on {test_set}, back-end {backend}, against {variation.key}: the mean over seeds with its "
                    "95 % interval, and each seed as a circle."
                )
                drawn.append(figure(in_svg(drawing), caption))
        if not drawn:
            missing.append(variation.key)
        first += drawn[:1]
        others += drawn[1:]
    content = figures(first) if first else ""
    if others:
        content += folded(f"The same on other test sets, by other back-ends ({len(others)})", figures(others))
    if missing:
        content += paragraph(f"Too few systems have scores to draw {', '.join(missing)}.", "note")
    return content


def provenance_section(comparison: Comparison) -> str:
    texts = [f"{name}: {value}" for name, value in comparison.made_from.items() if isinstance(value, str)]
    runs = folded(f"{len(comparison.made_from['runs'])} runs", bullets(comparison.made_from["runs"]))
    return bullets(texts) + runs
