"""Figures of scores: DET curves and histograms, as PNG, or as SVG for a page."""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import norm

from spk.data.files import whole_file
from spk.metrics.act_dcf import bayes_threshold
from spk.metrics.det_curve import det_curve
from spk.metrics.eer import eer_from
from spk.metrics.error_rates import ErrorRates
from spk.metrics.min_dcf import detection_costs
from spk.metrics.summary import P_TARGETS
from spk.report.legend import legend_below
from spk.report.palette import line_style
from spk.report.svg import STYLE, new_figure
from spk.report.table import P_ACTUAL

TICKS = (1e-5, 1e-4, 1e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95)  # rates that the DET axes name
LEAST_RATE, MOST_RATE = 1e-5, 0.6  # of the DET axes, unless a curve's EER or a minDCF point is larger
LARGEST_RATE = 0.99  # that they reach; beyond it lies rejecting, or accepting, all
MARKERS = "s^vDPX"
SIGNS = "□△▽"
MOST_CURVES_WITH_COSTS = 6  # of a page's DET figure; of more the EER alone is marked
MOST_CURVES_WITH_LEGEND_INSIDE = 8
MOST_COLUMNS = 4  # of histograms, with as many rows before there is another column
NUM_BINS, NUM_BINS_OF_PAGE = 100, 60  # a narrow drawing shows fewer
LABEL_WIDTH = 44  # characters; systems that are named after many options have long names


@dataclass(frozen=True)
class DetCurve:
    """`style`: its number among the line styles; '' as `label` for another curve of the same system."""

    label: str
    rates: ErrorRates
    style: int


def det_plot(path: str | os.PathLike[str], curves: Sequence[tuple[str, ErrorRates]], title: str) -> None:
    """`draw_det` of several systems, as PNG; their EERs are in the legend."""
    labels = [textwrap.fill(f"{label}, EER {100 * eer_from(rates):.2f} %", LABEL_WIDTH) for label, rates in curves]
    crowded = len(curves) > MOST_CURVES_WITH_LEGEND_INSIDE or any("\n" in label for label in labels)
    figure = Figure(figsize=(11 if crowded else 7, 7), layout="constrained")
    axes = figure.add_subplot(title=title)
    draw_det(axes, [DetCurve(labels[style], rates, style) for style, (_, rates) in enumerate(curves)])
    axes.plot([], [], "o", color="black", label="EER")
    for marker, p_target in zip(MARKERS, P_TARGETS, strict=False):
        axes.plot([], [], marker, color="black", markerfacecolor="none", label=f"minDCF({p_target})")
    if crowded:
        figure.legend(loc="outside right upper", fontsize="small")
    else:
        axes.legend(fontsize="small")
    save(figure, path)


def det_figure(curves: Sequence[DetCurve]) -> Figure:
    """`draw_det`, for `in_svg`; `det_marks` says in words what is marked."""
    with matplotlib.rc_context(STYLE):
        figure = new_figure(5.4)
        axes = figure.subplots()
        draw_det(axes, curves, with_costs=len(curves) <= MOST_CURVES_WITH_COSTS)
        axes.set(aspect="auto")  # there is little width to give away
        legend_below(figure, axes)
    return figure


def det_marks(num_curves: int) -> str:
    """What `det_figure` marks on so many curves."""
    costs = [f"{sign} minDCF({p})" for sign, p in zip(SIGNS, P_TARGETS, strict=False)]
    return "; ".join(["● EER", *(costs if num_curves <= MOST_CURVES_WITH_COSTS else [])])


def draw_det(axes: Axes, curves: Sequence[DetCurve], with_costs: bool = True) -> None:
    """Miss against false-alarm rate of several systems on normal-deviate axes; EER (o) and minDCF points are marked.

    Martin et al., The DET curve in assessment of detection task performance, Eurospeech 1997: scores that are normally
    distributed give straight lines.
    """
    smallest = min(1 / max(curve.rates.num_targets, curve.rates.num_nontargets) for curve in curves)
    least = np.clip(smallest, LEAST_RATE, 1e-3)
    most = min(LARGEST_RATE, max(MOST_RATE, *(1.2 * eer_from(curve.rates) for curve in curves)))
    marked = P_TARGETS if with_costs else ()
    marks = [[best_point(curve.rates, float(p_target)) for p_target in marked] for curve in curves]
    most_missed = min(LARGEST_RATE, max([most, *(miss for points in marks for _, miss in points)]))

    def deviate(rate: NDArray[np.float64] | float) -> NDArray[np.float64]:
        return norm.ppf(np.clip(rate, least / 2, 1 - least / 2))

    for curve, points in zip(curves, marks, strict=True):
        false_alarm_rates, miss_rates = det_curve(curve.rates)
        style, eer = line_style(curve.style), eer_from(curve.rates)
        axes.plot(deviate(false_alarm_rates), deviate(miss_rates), label=curve.label, **style)
        axes.plot(deviate(eer), deviate(eer), "o", color=style["color"])
        for marker, (false_alarm, miss) in zip(MARKERS, points, strict=False):
            # What lies outside, without a false alarm say, is marked on the edge.
            point = deviate(np.clip(false_alarm, least, most)), deviate(np.clip(miss, least, most_missed))
            axes.plot(*point, marker, color=style["color"], markerfacecolor="none", clip_on=False, zorder=3)
    for axis, largest in ((axes.xaxis, most), (axes.yaxis, most_missed)):
        ticks = [tick for tick in TICKS if least <= tick <= largest]
        axis.set_ticks(norm.ppf(ticks), [f"{100 * tick:g}" for tick in ticks])
    axes.set(xlim=norm.ppf([least, most]), ylim=norm.ppf([least, most_missed]))
    axes.set(xlabel="False-alarm rate, %", ylabel="Miss rate, %", aspect="equal")
    axes.grid(alpha=0.3)


def best_point(rates: ErrorRates, p_target: float) -> tuple[float, float]:
    """(false-alarm rate, miss rate) where the detection cost is least."""
    best = int(np.argmin(detection_costs(rates, p_target)))
    return float(rates.false_alarm_rates[best]), float(rates.miss_rates[best])


def histogram_plot(
    path: str | os.PathLike[str],
    scores: Sequence[tuple[str, NDArray[np.float64], NDArray[np.float64], bool]],
    title: str,
) -> None:
    """The distributions of target and non-target scores, a panel for each (label, targets [T], nontargets [N], is LLR).

    On log-likelihood ratios the Bayes threshold is marked for the prior that tables show actDCF for.
    """
    num_columns = min(MOST_COLUMNS, math.ceil(len(scores) / MOST_COLUMNS))
    num_rows = math.ceil(len(scores) / num_columns)
    figure = Figure(figsize=(7 if num_columns == 1 else 4.5 * num_columns, 2.2 * num_rows), layout="constrained")
    panels = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for unused in panels[len(scores) :]:
        unused.remove()
    known = {}
    for axes, (label, *panel) in zip(panels, scores, strict=False):
        draw_histogram(axes, *panel)
        axes.set_title(textwrap.fill(label, LABEL_WIDTH + 10 * (num_columns == 1)), fontsize="medium")
        known |= {text: handle for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(known.values(), known, loc="outside lower center", ncols=len(known), fontsize="small")
    figure.suptitle(title)
    save(figure, path)


def histogram_figure(
    label: str, targets: NDArray[np.float64], nontargets: NDArray[np.float64], are_ratios: bool
) -> Figure:
    """`draw_histogram` alone, for `in_svg`."""
    with matplotlib.rc_context(STYLE):
        figure = new_figure(2.6)
        axes = figure.subplots()
        draw_histogram(axes, targets, nontargets, are_ratios, NUM_BINS_OF_PAGE)
        axes.set_title(textwrap.fill(label, LABEL_WIDTH))
        axes.set(xlabel="Score", ylabel="Density")
        legend_below(figure, axes)
    return figure


def draw_histogram(
    axes: Axes,
    targets: NDArray[np.float64],
    nontargets: NDArray[np.float64],
    are_ratios: bool,
    num_bins: int = NUM_BINS,
) -> None:
    """The distributions of target [T] and non-target scores [N]; on log-likelihood ratios also the Bayes threshold."""
    finite = [values[np.isfinite(values)] for values in (targets, nontargets)]
    edges = np.histogram_bin_edges(np.concatenate(finite), num_bins)
    for number, (values, kind) in enumerate(zip(finite, ("target", "non-target"), strict=True)):
        style = line_style(number)
        counts = np.histogram(values, edges)[0]
        # With few trials all may be in one place; the line tells the two apart without colour.
        heights = counts / np.maximum(counts.sum() * np.diff(edges), np.finfo(float).tiny)
        axes.stairs(heights, edges, fill=True, color=style["color"], alpha=0.3)
        axes.stairs(heights, edges, label=kind, **style)
    if are_ratios:
        threshold = bayes_threshold(float(P_ACTUAL))
        axes.axvline(threshold, color="black", linestyle=":", linewidth=1, label=f"Bayes threshold ({P_ACTUAL})")
    axes.set(yticks=[])


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    with whole_file(path, "wb") as file:
        no_version = {"Software": None}  # the same bytes from any
        figure.savefig(file, format="png", dpi=120, bbox_inches="tight", metadata=no_version)
