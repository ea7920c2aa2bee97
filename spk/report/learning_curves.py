"""Learning curves: loss and validation EER over the steps of training, of every seed."""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from spk.errors import InputError
from spk.report.legend import legend_below
from spk.report.palette import line_style
from spk.report.svg import STYLE, new_figure

MOST_POINTS = 300  # of a line; more of them, and each is the mean of several

Series = tuple[NDArray[np.float64], NDArray[np.float64]]  # steps [N], values [N], all finite


@dataclass(frozen=True)
class LearningCurve:
    """Of one run; the EER as a fraction, at the steps at which there was validation."""

    loss: Series
    validation_eer: Series


def read_learning_curve(path: Path) -> LearningCurve | None:
    """Of a training.csv; None where there is none, or nothing in it. A last line that is being written is left out.

    Raises: InputError for a file that is no training.csv.
    """
    try:
        whole_lines = path.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); training writes it") from None
    rows = csv.DictReader(whole_lines)
    columns: dict[str, list[float]] = {"step": [], "loss": [], "validation_eer": []}
    try:
        for row in rows:
            for name, values in columns.items():
                values.append(float(row.get(name) or "nan") if name == "validation_eer" else float(row[name]))
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{path}:{rows.line_num}: is no row of a training's log, with its step and loss; remove the file"
        ) from None
    steps, loss, eer = (np.array(values) for values in columns.values())
    if not len(steps):
        return None
    return LearningCurve(finite(steps, loss), finite(steps, eer))


def finite(steps: NDArray[np.float64], values: NDArray[np.float64]) -> Series:
    kept = np.isfinite(values)
    return steps[kept], values[kept]


def thinned(series: Series) -> Series:
    """At most MOST_POINTS: means of equally many neighbours, at the mean of their steps."""
    steps, values = series
    size = -(-len(steps) // MOST_POINTS)
    if size <= 1:
        return series
    starts = np.arange(0, len(steps), size)
    counts = np.diff(np.append(starts, len(steps)))
    return np.add.reduceat(steps, starts) / counts, np.add.reduceat(values, starts) / counts


def mean_of(several: Sequence[Series]) -> Series:
    """Over runs, at the steps that all of them have."""
    common = functools.reduce(np.intersect1d, [steps for steps, _ in several])
    rows = [values[np.searchsorted(steps, common)] for steps, values in several]
    return common, np.mean(rows, axis=0)


def learning_figure(curves: Mapping[str, Sequence[LearningCurve]], styles: Mapping[str, int]) -> Figure:
    """{system: the curve of each seed} -> the loss above, the validation EER below where there is any.

    `styles`: the number of each system's line.
    """
    with_eer = any(len(one.validation_eer[0]) for runs in curves.values() for one in runs)
    with matplotlib.rc_context(STYLE):
        figure = new_figure(5.4 if with_eer else 3.2)
        panels = figure.subplots(2 if with_eer else 1, 1, sharex=True, squeeze=False).ravel()
        for system, runs in curves.items():
            draw(panels[0], [one.loss for one in runs], styles[system], system)
            if with_eer:
                percent = [(steps, 100 * eer) for steps, eer in (one.validation_eer for one in runs)]
                draw(panels[1], percent, styles[system], "")
        panels[0].set(ylabel="Loss")
        panels[-1].set(xlabel="Step")
        if with_eer:
            panels[1].set(ylabel="Validation EER, %")
            panels[1].set_ylim(bottom=0)
        legend_below(figure, panels[0])
    return figure


def draw(axes: Axes, seeds: Sequence[Series], number: int, label: str) -> None:
    """The mean, and each seed thin behind it."""
    seeds = [series for series in seeds if len(series[0])]
    if not seeds:
        return
    style = line_style(number)
    mean = mean_of(seeds)
    if len(seeds) > 1 and len(mean[0]):
        for series in seeds:
            axes.plot(*thinned(series), color=style["color"], linewidth=0.6, alpha=0.5)
        axes.plot(*thinned(mean), label=label, linewidth=1.6, **style)
    else:
        for place, series in enumerate(seeds):
            axes.plot(*thinned(series), label="" if place else label, linewidth=1.4, **style)
