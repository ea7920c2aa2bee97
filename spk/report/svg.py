"""A figure as SVG within a page: its texts stay texts, its colours are the page's."""

from __future__ import annotations

import hashlib
import io
import re

import matplotlib
from matplotlib.figure import Figure

from spk.report.palette import COLORS

WIDTH = 4.8  # inches; of a page as wide as a phone, texts of FONT_SIZE are as large as they are called
FONT_SIZE = 10
STYLE = {
    "font.size": FONT_SIZE,
    "legend.fontsize": 9,
    "axes.titlesize": "medium",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": COLORS["rule"][0],
    "axes.grid": True,
    "axes.axisbelow": True,
    "path.simplify_threshold": 0.6,  # pixels; curves of many trials have tens of thousands of corners
}


def new_figure(height: float) -> Figure:
    """An empty one, for `in_svg`. Axes are made, and drawn on, within `matplotlib.rc_context(STYLE)`."""
    return Figure(figsize=(WIDTH, height), layout="constrained")


def rounded(number: re.Match[str]) -> str:
    """To a hundredth of a point, without zeros at the end."""
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def in_svg(figure: Figure) -> str:
    """The element <svg>, with identifiers of its own."""
    text = io.StringIO()
    nothing_said = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "spk"}):
        figure.savefig(text, format="svg", metadata=nothing_said, transparent=True)
    drawing = text.getvalue()
    drawing = drawing[drawing.index("<svg") :].strip()
    drawing = re.sub(r'^<svg[^>]*?(viewBox="[^"]*")[^>]*>', r"<svg \1>", drawing)
    drawing = re.sub(r"<style[^>]*>.*?</style>", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r' d="[^"]*"', lambda path: re.sub(r"\d+\.\d{3,}", rounded, path[0]), drawing)
    used = set(re.findall(r"[\"(]#([\w.-]+)[\")]", drawing))
    drawing = re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in used else "", drawing)
    # Two drawings of a page may have parts alike under the same name, at other places.
    own = hashlib.sha256(drawing.encode()).hexdigest()[:8]
    for name in used:
        drawing = re.sub(rf'([" (]|id=")(#?){re.escape(name)}([")])', rf"\g<1>\g<2>{own}{name}\g<3>", drawing)
    for name, (light, _) in COLORS.items():
        drawing = drawing.replace(light, f"var(--{name})")
    return re.sub(r"\n\s*", "\n", drawing)
