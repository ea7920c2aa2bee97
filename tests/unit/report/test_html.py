"""Pages from parts, and drawings within them."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest

from spk.report.html import page, paragraph, table
from spk.report.palette import COLORS, LINE_STYLES, LINES, line_style
from spk.report.svg import STYLE, in_svg, new_figure


def test_texts_are_never_read_as_tags():
    text = page("<b> & 'title'", paragraph("<script>"), [("a <i>", table("c & d", ["x", "<y>"], [["<z>", "1"]], 1))])
    assert not any(tag in text for tag in ("<b>", "<script>", "<i>", "<y>", "<z>", "c & d"))
    assert "&lt;z&gt;" in text and "<title>&lt;b&gt; &amp;" in text


def test_numbers_are_on_the_right_and_the_first_column_names_the_row():
    text = table("rows", ["System", "EER"], [["one", "1.25"]], 1)
    assert '<th scope="row">one</th><td class="number">1.25</td>' in text
    assert '<th scope="col">System</th><th scope="col" class="number">EER</th>' in text


def luminance(color: str) -> float:
    """WCAG 2.1, relative luminance."""
    channels = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_lines_and_texts_stand_out_from_the_paper(scheme):
    def contrast(name: str) -> float:
        light, dark = sorted((luminance(COLORS[each][scheme]) for each in (name, "paper")), reverse=True)
        return (light + 0.05) / (dark + 0.05)

    assert all(contrast(name) >= 4.5 for name in ("ink", "soft", "link"))
    assert all(contrast(f"c{number}") >= 3 for number in range(len(LINES)))


def test_no_two_of_28_lines_look_alike():
    assert len({tuple(line_style(number).values()) for number in range(len(LINES) * len(LINE_STYLES))}) == 28


def test_drawings_take_the_colours_of_the_page_and_share_no_names():
    drawings = []
    for values in ([1, 2], [2, 1]):
        with matplotlib.rc_context(STYLE):
            figure = new_figure(2)
            figure.subplots().plot(values, marker="o", label="seen", **line_style(0))
        drawings.append(in_svg(figure))
    for drawing in drawings:
        assert drawing.startswith("<svg viewBox=") and "var(--c0)" in drawing and COLORS["c0"][0] not in drawing
    names = [{part.split('"')[0] for part in text.split(' id="')[1:]} for text in drawings]
    assert names[0] and not names[0] & names[1]
    for text, own in zip(drawings, names, strict=True):
        used = {part.split('"')[0] for part in text.split('href="#')[1:]}
        used |= {part.split(")")[0] for part in text.split("url(#")[1:]}
        assert used == own
