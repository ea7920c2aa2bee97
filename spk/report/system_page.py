"""The page of one or more systems: their results.json as tables, with DET curves, histograms and learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spk.metrics.eer import eer_from
from spk.metrics.error_rates import error_rates
from spk.report.figures import DetCurve, det_figure, det_marks, histogram_figure
from spk.report.html import figure, figures, folded, page, paragraph, table
from spk.report.results import ScoreFile, without_calibrated_twins
from spk.report.run_figures import training_section
from spk.report.svg import in_svg
from spk.report.table import NUM_TEXT_COLUMNS, is_log_likelihood_ratio, quotation_lines, results_cells


def system_page(
    title: str,
    rows: Sequence[Mapping[str, Any]],
    score_files: Sequence[ScoreFile],
    folders: Mapping[str, Path],
    losses: Mapping[str, Mapping[str, Any]],
) -> str:
    """`rows`: of results_of, one for each of `score_files`; `folders`, `losses`: of the systems that were trained."""
    test_sets = list(dict.fromkeys(scores.test_set for scores in score_files))
    sections = []
    for test_set in test_sets:
        own = [place for place, scores in enumerate(score_files) if scores.test_set == test_set]
        content = test_set_section(test_set, [rows[place] for place in own], [score_files[place] for place in own])
        sections.append((test_set, content))
    if folders:
        styles = {name: number for number, name in enumerate(folders)}
        content = training_section({name: [folder] for name, folder in folders.items()}, losses, styles)
        sections.append(("Training", content))
    lead = paragraph(
        "EER in percent; its 95 % interval is over other speakers. minDCF(p) is the least normalised detection cost at "
        "a prior of p. Cllr and actDCF are of log-likelihood ratios alone."
    )
    return page(title, lead, sections)


def test_set_section(test_set: str, rows: Sequence[Mapping[str, Any]], score_files: Sequence[ScoreFile]) -> str:
    columns = results_cells(rows)
    del columns["Test set"]  # the heading says it
    columns |= {heading: columns.pop(heading) for heading in ("Targets", "Non-targets")}  # last: they say least
    content = table(
        f"Results on {test_set}", list(columns), list(zip(*columns.values(), strict=True)), NUM_TEXT_COLUMNS - 1
    )
    content += "".join(paragraph(line, "note") for line in quotation_lines(rows))
    curves, panels = [], []
    raw = without_calibrated_twins(score_files)
    for scores in score_files:
        trials, values = scores.read()
        split = values[trials.is_target], values[~trials.is_target]
        label = f"{scores.system}, {scores.backend}"
        panels.append(in_svg(histogram_figure(label, *split, is_log_likelihood_ratio(scores.backend))))
        if scores in raw:
            rates = error_rates(*split)
            curves.append(DetCurve(f"{label}, EER {100 * eer_from(rates):.2f} %", rates, len(curves)))
    caption = f"DET curves on {test_set}: miss against false-alarm rate; {det_marks(len(curves))}."
    content += figures([figure(in_svg(det_figure(curves)), caption)])
    drawn = [
        figure(drawing, f"Scores of target and non-target trials of {test_set}: {scores.system}, {scores.backend}.")
        for drawing, scores in zip(panels, score_files, strict=True)
    ]
    return content + folded(f"Distributions of scores on {test_set} ({len(drawn)})", figures(drawn))
