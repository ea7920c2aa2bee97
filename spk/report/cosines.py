"""The distribution of cos(theta) at three stages of training: figure 1 of 'Dynamic Margin Softmax Loss'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from spk.errors import InputError
from spk.report.legend import legend_below
from spk.report.palette import line_style
from spk.report.svg import STYLE, new_figure

NUM_BINS = 100  # equal ones of [-1, 1]
EDGES = np.linspace(-1, 1, NUM_BINS + 1)
CENTRES = (EDGES[1:] + EDGES[:-1]) / 2
HEADER = ",".join(["step", *map(str, range(NUM_BINS))])
STAGES = ("begin", "a third", "end")
PART = 20  # a stage is this part of the rows, one at least


@dataclass(frozen=True)
class Cosines:
    """Of a run: steps [R]; counts [R, 100] of the crops since the row before, by their cosine to their speaker."""

    steps: NDArray[np.int64]
    counts: NDArray[np.int64]

    def stages(self) -> list[slice]:
        """Rows of begin, a third and end."""
        num_rows = len(self.steps)
        size = max(1, num_rows // PART)
        third = int(np.searchsorted(self.steps, self.steps[-1] / 3))
        first = min(max(0, third - size // 2), num_rows - size)
        return [slice(0, size), slice(first, first + size), slice(num_rows - size, num_rows)]

    def steps_of(self, stage: slice) -> tuple[int, int]:
        """The first and the last of a stage."""
        before = self.steps[stage.start - 1] if stage.start else 0
        return int(before) + 1, int(self.steps[stage.stop - 1])


def read_cosines(path: Path) -> Cosines | None:
    """Of a cosines.csv; None where there is none (losses without such a cosine), or nothing in it.

    A last line that is being written is left out. Raises: InputError for a file that is no cosines.csv.
    """
    try:
        header, *rows = path.read_text(encoding="utf-8").rpartition("\n")[0].splitlines() or [HEADER]
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); training writes it") from None
    if header != HEADER:
        raise InputError(f"{path}:1: is not the header of a training's cosines, step,0,1,...,99; remove the file")
    if not rows:
        return None
    try:
        values = np.loadtxt(rows, dtype=np.int64, delimiter=",", ndmin=2)
    except ValueError as error:
        raise InputError(f"{path}: has a row that is no step and {NUM_BINS} counts ({error}); remove it") from None
    if values.shape[1] != NUM_BINS + 1:
        raise InputError(f"{path}: has rows of {values.shape[1]} numbers, not of a step and {NUM_BINS} counts")
    return Cosines(values[:, 0], values[:, 1:]) if values[:, 1:].any() else None


def stage_counts(runs: Sequence[Cosines]) -> NDArray[np.int64]:
    """[3, 100] of begin, a third and end, of all runs together."""
    return np.sum([[run.counts[stage].sum(axis=0) for stage in run.stages()] for run in runs], axis=0)


def density(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """[..., 100] whose integral over [-1, 1] is 1; 0 where nothing was counted."""
    return counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1) * (NUM_BINS / 2)


def mean_cosine(counts: NDArray[np.int64]) -> float:
    """Of binned cosines: the error is at most half a bin, 0.01."""
    return float(counts @ CENTRES / counts.sum())


def cosine_figure(runs: Sequence[Cosines], title: str) -> Figure:
    """Of one system, its seeds together."""
    steps = [runs[0].steps_of(stage) for stage in runs[0].stages()]
    with matplotlib.rc_context(STYLE):
        figure = new_figure(3.4)
        axes = figure.subplots()
        for number, (stage, span, counts) in enumerate(zip(STAGES, steps, stage_counts(runs), strict=True)):
            if not counts.any():
                continue
            style = line_style(number)
            label = f"{stage} (steps {span[0]:,} to {span[1]:,}), mean {mean_cosine(counts):.2f}"
            axes.stairs(density(counts), EDGES, fill=True, color=style["color"], alpha=0.2)
            axes.stairs(density(counts), EDGES, label=label, linewidth=1.4, **style)
        axes.set(xlabel="cos θ", ylabel="Density", xlim=(-1, 1), title=title)
        axes.set_ylim(bottom=0)
        legend_below(figure, axes)
    return figure
