"""The margin as a function of cos(theta): figure 3 of 'Dynamic Margin Softmax Loss', for any loss that has one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from spk.losses.loss import LOSSES
from spk.losses.margin_softmax import MarginSoftmax
from spk.report.cosines import EDGES, Cosines, density, stage_counts
from spk.report.legend import legend_below
from spk.report.palette import line_style
from spk.report.svg import STYLE, new_figure

COSINES = np.linspace(-1, 1, 201)


def margin_of(section: Mapping[str, Any]) -> NDArray[np.float64] | None:
    """cos(theta) - phi(cos(theta)) at COSINES [201], of the loss that a config's section names; None: it has no phi."""
    loss = LOSSES.build("loss", section, embedding_dim=1, num_speakers=2, utterances_per_speaker=2)
    if not isinstance(loss, MarginSoftmax):
        return None
    cosines = torch.from_numpy(COSINES)
    with torch.no_grad():
        return (cosines - loss.add_margin(cosines)).numpy()


def with_constant_margin(sections: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The sections, and where dynamic margins are alone the constant one of the same m, for comparison."""
    result = dict(sections)
    constant = [section.get("margin", 0.2) for section in sections.values() if section["name"] == "am_softmax"]
    for section in sections.values():
        margin = section.get("margin", 0.2)
        if section["name"] == "dam_softmax" and margin not in constant:
            constant.append(margin)
            result[f"constant margin {margin:g} of am_softmax"] = {"name": "am_softmax", "margin": margin}
    return result


def margin_figure(
    sections: Mapping[str, Mapping[str, Any]], cosines: Mapping[str, Sequence[Cosines]], styles: Mapping[str, int]
) -> Figure | None:
    """Margins above, how cos(theta) is distributed at the end of training below; None where no loss has a margin.

    `sections`: {system: its loss}; `cosines`: {system: each seed's}, of some of these; `styles`: {system: the number
    of its line}.
    """
    margins = {name: margin_of(section) for name, section in sections.items()}
    margins = {name: margin for name, margin in margins.items() if margin is not None}
    if not any(margin.any() for margin in margins.values()):
        return None
    margins |= {
        name: margin_of(section) for name, section in with_constant_margin(sections).items() if name not in sections
    }
    unused = itertools.count(max(styles.values(), default=-1) + 1)
    below = {name: runs for name, runs in cosines.items() if name in margins and runs}
    with matplotlib.rc_context(STYLE):
        figure = new_figure(5.4 if below else 3.4)
        panels = figure.subplots(2 if below else 1, 1, sharex=True, squeeze=False).ravel()
        for name, margin in margins.items():
            style = line_style(styles[name] if name in styles else next(unused))
            panels[0].plot(COSINES, margin, label=name, linewidth=1.4, **style)
            if name in below:
                ends = density(stage_counts(below[name])[-1])
                panels[1].stairs(ends, EDGES, linewidth=1.4, **style)
        panels[0].set(ylabel="Margin: cos θ - φ(cos θ)", xlim=(-1, 1))
        panels[0].set_ylim(bottom=0)
        if below:
            panels[1].set(ylabel="Density at the end")
            panels[1].set_ylim(bottom=0)
        panels[-1].set(xlabel="cos θ")
        legend_below(figure, panels[0])
    return figure
