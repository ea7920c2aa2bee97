"""What training left of itself, drawn: learning curves, cos(theta) at three stages, margins. One part of any page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spk.report.cosines import cosine_figure, read_cosines
from spk.report.html import figure, figures, paragraph, subheading
from spk.report.learning_curves import learning_figure, read_learning_curve
from spk.report.margins import margin_figure
from spk.report.svg import in_svg


def training_section(
    folders: Mapping[str, Sequence[Path]], losses: Mapping[str, Mapping[str, Any]], styles: Mapping[str, int]
) -> str:
    """{system: the folder of each seed}, {...: the loss of its config}, {...: the number of its line} -> HTML.

    What cannot be drawn, it says.

    Raises: InputError for files that are no such logs.
    """
    read = {name: [read_learning_curve(folder / "training.csv") for folder in own] for name, own in folders.items()}
    curves = {name: own for name, several in read.items() if (own := [one for one in several if one is not None])}
    without = [name for name in folders if name not in curves]
    content = subheading("Learning curves")
    if curves:
        caption = (
            "Loss of the training crops and EER of the held-out training speakers, by the step."
            + (" Thick: the mean over seeds; thin: each seed." if max(map(len, curves.values())) > 1 else "")
            + (" Losses of different objectives have different units." if len(curves) > 1 else "")
        )
        content += figures([figure(in_svg(learning_figure(curves, styles)), caption)])
    if without:
        content += paragraph(f"No learning curve: {', '.join(without)} left no training.csv.", "note")
    return content + cosine_part(folders, losses, styles)


def cosine_part(
    folders: Mapping[str, Sequence[Path]], losses: Mapping[str, Mapping[str, Any]], styles: Mapping[str, int]
) -> str:
    read = {name: [read_cosines(folder / "cosines.csv") for folder in own] for name, own in folders.items()}
    cosines = {name: own for name, several in read.items() if (own := [one for one in several if one is not None])}
    content = subheading("cos θ between training crops and their speakers")
    drawn = [
        figure(
            in_svg(cosine_figure(runs, name)),
            f"{name}: cos θ between the embeddings of training crops and their speakers' weights, before any margin, "
            "at three stages of training" + (f"; {len(runs)} seeds together." if len(runs) > 1 else "."),
        )
        for name, runs in cosines.items()
    ]
    margins = margin_figure(losses, cosines, styles)
    if margins is not None:
        below = " Below: how cos θ is distributed at the end of training." if cosines else ""
        caption = f"What the margin takes off the cosine to a crop's speaker, at the end of training.{below}"
        drawn.append(figure(in_svg(margins), caption))
    if drawn:
        content += figures(drawn)
    without = [name for name in folders if name not in cosines]
    if without:
        content += paragraph(
            f"No distribution of cos θ: {', '.join(without)} left no cosines.csv; losses that are no softmax over "
            "cosines have none.",
            "note",
        )
    return content
