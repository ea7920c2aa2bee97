"""Figures within a page: what they draw stays where it is, in fewer characters."""

from __future__ import annotations

import re

import matplotlib
import numpy as np

from spk.report.svg import STYLE, in_svg, new_figure


def drawn(values: np.ndarray) -> str:
    with matplotlib.rc_context(STYLE):
        figure = new_figure(3)
        figure.subplots().plot(values, color="#0060a8")
    return in_svg(figure)


def line_of(drawing: str) -> np.ndarray:
    """[N, 2] the longest path."""
    paths = re.findall(r' d="([^"]*)"', drawing)
    return np.array(re.findall(r"[ML] (\S+) (\S+)", max(paths, key=len)), dtype=float)


def test_a_line_has_its_corners_to_a_hundredth_of_a_point():
    values = np.array([0.0, 1.0, 0.25, 0.75, 0.5])
    points = line_of(drawn(values))
    heights = (points[0, 1] - points[:, 1]) / (points[0, 1] - points[1, 1])
    assert np.allclose(heights, values, atol=1e-3) and np.allclose(np.diff(points[:, 0], 2), 0, atol=0.03)
    assert not re.search(r' d="[^"]*\d\.\d{3}', drawn(values))


def test_a_line_of_many_points_is_drawn_by_few_and_keeps_its_extremes():
    steps = np.cumsum(np.random.default_rng(0).choice([-1, 1], size=20_000)).astype(float)
    drawing = drawn(steps)
    points = line_of(drawing)
    assert len(drawing) < 200_000 and len(points) < len(steps) / 2
    few = line_of(drawn(np.array([steps.min(), steps.max()] * 5)))
    assert np.allclose([points[:, 1].min(), points[:, 1].max()], [few[:, 1].min(), few[:, 1].max()], atol=1)
