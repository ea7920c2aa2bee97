"""A legend below a narrow figure, whatever the length of its names."""

from __future__ import annotations

import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure

LINE = 64  # characters that stand side by side


def legend_below(figure: Figure, *panels: Axes) -> None:
    """Of all that has a label in these panels, each label once; as many columns as the longest one leaves room for."""
    known = {}
    for axes in panels:
        known |= {text: handle for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    if not known:
        return
    texts = [textwrap.fill(text, LINE - 8) for text in known]
    longest = max(len(line) for text in texts for line in text.splitlines())
    columns = max(1, min(len(known), LINE // (longest + 8)))
    figure.legend(known.values(), texts, loc="outside lower center", ncols=columns, frameon=False)
