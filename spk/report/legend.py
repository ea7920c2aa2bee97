"""A legend below a narrow figure, whatever the length of its names."""

from __future__ import annotations

import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure

LINE = 64  # characters that stand side by side
ROOM, HEIGHT = 4, 0.21  # lines that a figure has room for; of each further one, inches


def legend_below(figure: Figure, *panels: Axes) -> None:
    """Of all that has a label in these panels, each label once; as many columns as the longest one leaves room for.

    The figure grows by what a long legend takes.
    """
    known = {}
    for axes in panels:
        known |= {text: handle for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    if not known:
        return
    texts = [textwrap.fill(text, LINE - 8) for text in known]
    longest = max(len(line) for text in texts for line in text.splitlines())
    columns = max(1, min(len(known), LINE // (longest + 8)))
    lines = sum(text.count("\n") + 1 for text in texts)
    figure.set_figheight(figure.get_figheight() + HEIGHT * max(0, -(-lines // columns) - ROOM))
    figure.legend(known.values(), texts, loc="outside lower center", ncols=columns, frameon=False)
