"""Colours of figures and pages, light and dark; with line styles, so that nothing is told by colour alone."""

from __future__ import annotations

# Variable of the page -> (in light, in dark). Each has a contrast of 3 and more to the paper, texts of 4.5 and more.
COLORS = {
    "c0": ("#0060a8", "#6cb6ff"),
    "c1": ("#c24a00", "#ff9a5c"),
    "c2": ("#007a5a", "#4fd1a5"),
    "c3": ("#9a3d82", "#e59bd3"),
    "c4": ("#8a6a00", "#e6c34a"),
    "c5": ("#5c5c5c", "#c0c0c0"),
    "c6": ("#00809f", "#6fd8f0"),
    "paper": ("#ffffff", "#16181c"),
    "ink": ("#000000", "#e8e8e8"),
    "soft": ("#555555", "#b4b8be"),
    "rule": ("#cccccc", "#44484f"),
    "link": ("#004f8c", "#8cc4ff"),
}
LINES = [light for name, (light, _) in COLORS.items() if name[1:].isdigit()]
LINE_STYLES = ("-", "--", ":", "-.")  # as many as have no factor in common with the colours: 28 that differ


def line_style(number: int) -> dict[str, str]:
    """Of the line of this number, for matplotlib."""
    return {"color": LINES[number % len(LINES)], "linestyle": LINE_STYLES[number % len(LINE_STYLES)]}


def css_colors() -> str:
    """The variables, for both schemes."""

    def block(which: int) -> str:
        return "".join(f"--{name}: {both[which]}; " for name, both in COLORS.items())

    return f"\n:root {{ {block(0)}}}\n@media (prefers-color-scheme: dark) {{ :root {{ {block(1)}}} }}"
