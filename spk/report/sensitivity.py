"""EER against a number of the config: the batch size (table 3 of 'In defence of metric learning'), margin, scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from spk.config import SystemConfig
from spk.report.grid import WITHOUT_EFFECT, crops_seen, flattened, in_yaml
from spk.report.legend import legend_below
from spk.report.palette import line_style
from spk.report.svg import STYLE, new_figure

LOGARITHMIC_FROM = 8  # times the least value is the largest


@dataclass(frozen=True)
class Variation:
    """Systems that differ in the number `key`: {what else distinguishes them: {number: system}}, numbers ascending."""

    key: str
    curves: dict[str, dict[float, str]]


def variations(configs: Mapping[str, SystemConfig]) -> list[Variation]:
    """Of {system: its config}, one for each number that differs between systems that are alike otherwise."""
    values = {name: flattened(config.as_dict()) for name, config in configs.items()}
    keys = sorted({key for own in values.values() for key in own})
    differing = [key for key in keys if len({repr(own.get(key)) for own in values.values()}) > 1]
    crops = {crops_seen(config) for config in configs.values()}
    consequences = ("train.steps",) if len(crops) == 1 and crops != {None} else ()  # of as many crops in other batches
    differing = [key for key in differing if key not in (*WITHOUT_EFFECT, *consequences)]
    found = []
    for key in differing:
        others = [other for other in differing if other != key]
        groups: dict[tuple[str, ...], dict[float, str]] = {}
        for name, own in values.items():
            if is_number(own.get(key)):
                groups.setdefault(tuple(repr(own.get(other)) for other in others), {})[own[key]] = name
        if any(len(numbers) > 1 for numbers in groups.values()):
            labels = labels_of([values[next(iter(numbers.values()))] for numbers in groups.values()], others)
            curves = {
                label: dict(sorted(numbers.items())) for label, numbers in zip(labels, groups.values(), strict=True)
            }
            found.append(Variation(key, curves))
    return found


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def labels_of(curves: list[dict[str, Any]], keys: list[str]) -> list[str]:
    """What tells the curves apart: by the first key that does, or by all that differ between curves that have them."""
    if len(curves) == 1:
        return [""]

    def by(*names: str) -> list[str]:
        return [", ".join(f"{name} {in_yaml(own[name])}" for name in names if name in own) for own in curves]

    ordered = sorted(keys, key=lambda key: (not key.endswith("name"), key))  # the loss's name before its arguments
    alone = (labels for key in ordered if len(set(labels := by(key))) == len(curves))
    differing = [key for key in ordered if len({in_yaml(own[key]) for own in curves if key in own}) > 1]
    together = by(*differing)
    return next(alone, together if len(set(together)) == len(curves) else by(*ordered))


def sensitivity_figure(variation: Variation, results: Mapping[str, Mapping[str, Any]]) -> Figure | None:
    """The mean EER of each system with its 95 % interval, and each seed's as a dot; None: too few have `results`.

    `results`: {system: what compare_over_seeds says}.
    """
    known = {
        label: {number: results[name]["eer"] for number, name in numbers.items() if name in results}
        for label, numbers in variation.curves.items()
    }
    known = {label: numbers for label, numbers in known.items() if numbers}
    if not any(len(numbers) > 1 for numbers in known.values()):
        return None
    ticks = sorted({number for numbers in known.values() for number in numbers})
    with matplotlib.rc_context(STYLE):
        figure = new_figure(3.6)
        axes = figure.subplots()
        for place, (label, numbers) in enumerate(known.items()):
            style = line_style(place)
            means = np.array([100 * eer["mean"] for eer in numbers.values()])
            limits = 100 * np.array([eer["interval"] or (np.nan, np.nan) for eer in numbers.values()])
            axes.errorbar(list(numbers), means, np.abs(limits.T - means), label=label, marker="s", capsize=4, **style)
            for number, eer in numbers.items():
                seeds = 100 * np.array(eer["values"])
                axes.plot([number] * len(seeds), seeds, "o", color=style["color"], markersize=4, markerfacecolor="none")
        if ticks[0] > 0 and ticks[-1] / ticks[0] >= LOGARITHMIC_FROM:
            axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set(xlabel=variation.key, ylabel="EER, %")
        axes.set_ylim(bottom=0)
        legend_below(figure, axes)
    return figure
