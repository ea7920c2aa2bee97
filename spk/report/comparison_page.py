"""The page of a comparison: for each test set and back-end a table and DET curves, then sensitivity and training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from spk.metrics.error_rates import error_rates
from spk.report.comparison import EXPLANATION, HEADINGS, Comparison, Row
from spk.report.figures import DET_MARKS, DetCurve, det_figure, histogram_figure
from spk.report.html import bullets, figure, figures, folded, page, paragraph, table
from spk.report.results import ScoreFile
from spk.report.run_figures import training_section
from spk.report.sensitivity import sensitivity_figure, variations
from spk.report.svg import in_svg
from spk.report.table import is_log_likelihood_ratio

LEVEL = 0.05  # a difference with a smaller p, corrected for all systems of its table, is called one
VERDICTS = (
    f"▼ better and ▲ worse: the EER differs from the reference's with p < {LEVEL:g} after Holm's correction; ≈: the "
    "trials and seeds at hand show no difference, which does not mean that there is none."
)
AGAINST = "Against the reference"
# Columns that the table of a group does without, and one that comes last: it says little where there is little width.
ELSEWHERE = ("Test set", "Back-end", "Seeds")


def comparison_page(comparison: Comparison) -> str:
    """Whole; score files are read again, a group at a time."""
    rows: dict[tuple[str, str], list[Row]] = {}
    for row in comparison.rows:
        rows.setdefault((row.test_set, row.backend), []).append(row)
    sections = [
        (f"{test_set}, {backend}", group_section(comparison, test_set, backend, own))
        for (test_set, backend), own in rows.items()
    ]
    sections.append(("Sensitivity", sensitivity_section(comparison, rows)))
    losses = {name: config.loss for name, config in comparison.configs.items()}
    sections.append(("Training", training_section(comparison.folders, losses)))
    sections.append(("Made from", provenance_section(comparison)))
    lead = paragraph(f"{EXPLANATION} The reference is {comparison.grid.reference}. {VERDICTS}")
    return page(f"Comparison: {len(comparison.grid.systems)} systems, {seeds_text(comparison)}", lead, sections)


def seeds_text(comparison: Comparison) -> str:
    count = len(comparison.grid.seeds)
    return f"{count} seeds" if count > 1 else "one seed"


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


def group_section(comparison: Comparison, test_set: str, backend: str, rows: Sequence[Row]) -> str:
    headings = ["System", AGAINST, *(heading for heading in HEADINGS[1:] if heading not in ELSEWHERE), "Seeds"]
    known = [dict(zip(HEADINGS, row.cells(), strict=True)) for row in rows]
    known = [cells | {AGAINST: verdict(row, comparison.grid.reference)} for cells, row in zip(known, rows, strict=True)]
    cells = [[own[heading] for heading in headings] for own in known]
    content = table(f"Systems on {test_set}, back-end {backend}", headings, cells, num_text_columns=2)
    curves, panels = [], []
    for number, row in enumerate(rows):
        scores, targets, nontargets = comparison.scores[test_set, backend].get(row.system, []), [], []
        for seed, one in enumerate(scores):
            trials, values = one.read()
            targets.append(values[trials.is_target])
            nontargets.append(values[~trials.is_target])
            curves.append(DetCurve("" if seed else row.system, error_rates(targets[-1], nontargets[-1]), number))
        if scores:
            ratios = is_log_likelihood_ratio(backend)
            drawing = histogram_figure(row.system, np.concatenate(targets), np.concatenate(nontargets), ratios)
            caption = f"{row.system}: scores of target and non-target trials" + several(scores)
            panels.append(figure(in_svg(drawing), caption))
    if curves:
        caption = (
            f"DET curves on {test_set}, back-end {backend}: one for each seed, in the line of its system; {DET_MARKS}."
        )
        content += figures([figure(in_svg(det_figure(curves)), caption)])
        content += folded(f"Distributions of scores on {test_set}, {backend} ({len(panels)})", figures(panels))
    return content


def several(scores: Sequence[ScoreFile]) -> str:
    return f", {len(scores)} seeds together." if len(scores) > 1 else "."


def sensitivity_section(comparison: Comparison, groups: Mapping[tuple[str, str], Sequence[Row]]) -> str:
    found = variations(comparison.configs)
    if not found:
        return paragraph("No two systems differ in one number of the config alone: there is nothing to draw.", "note")
    drawn, drawn_keys = [], set()
    for variation in found:
        for (test_set, backend), rows in groups.items():
            results = {row.system: row.result for row in rows if row.result is not None}
            drawing = sensitivity_figure(variation, results)
            if drawing is not None:
                drawn_keys.add(variation.key)
                caption = (
                    f"EER on {test_set}, back-end {backend}, against {variation.key}: the mean over seeds with its "
                    "95 % interval, and each seed as a circle."
                )
                drawn.append(figure(in_svg(drawing), caption))
    content = figures(drawn) if drawn else ""
    if missing := [variation.key for variation in found if variation.key not in drawn_keys]:
        content += paragraph(f"Too few systems have scores to draw {', '.join(missing)}.", "note")
    return content


def provenance_section(comparison: Comparison) -> str:
    texts = [f"{name}: {value}" for name, value in comparison.made_from.items() if isinstance(value, str)]
    runs = folded(f"{len(comparison.made_from['runs'])} runs", bullets(comparison.made_from["runs"]))
    return bullets(texts) + runs
