"""A legend below a figure."""

from __future__ import annotations

from spk.report.legend import legend_below
from spk.report.svg import new_figure


def axes_height(num_lines: int) -> float:
    """In inches, of a figure with so many labelled lines."""
    figure = new_figure(5.4)
    axes = figure.subplots()
    for number in range(num_lines):
        axes.plot([0, 1], [0, number], label=f"softmax_angular_prototypical_{number}")
    legend_below(figure, axes)
    figure.draw_without_rendering()
    return axes.get_position().height * figure.get_figheight()


def test_a_long_legend_leaves_the_axes_their_height():
    few, many = axes_height(2), axes_height(14)
    assert abs(many - few) < 0.15 * few
