"""One HTML page that needs no other file: sections, tables and figures, on any width, in light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from spk.report.palette import css_colors

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; padding: 0 1rem 3rem; max-width: 90rem; background: var(--paper); color: var(--ink); }
h1, h2, h3, p, li { overflow-wrap: anywhere; }
h2 { margin-top: 2.5rem; padding-top: .5rem; border-top: 1px solid var(--rule); }
p, li, figcaption { max-width: 46rem; }
a { color: var(--link); }
nav ul { columns: 18rem; padding-left: 1.2rem; }
.wide { overflow-x: auto; }
.wide:focus-visible, a:focus-visible, summary:focus-visible { outline: 2px solid var(--link); }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
caption { text-align: left; padding-bottom: .3rem; }
th, td { padding: .25rem .5rem; border-bottom: 1px solid var(--rule); text-align: left; }
th { font-weight: 600; }
thead th { white-space: normal; vertical-align: bottom; }
.number { text-align: right; }
tbody th { position: sticky; left: 0; background: var(--paper); min-width: min(13rem, 30vw); white-space: normal;
  overflow-wrap: anywhere; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 30rem), 1fr)); gap: 1.5rem;
  margin-top: 1rem; }
figure { margin: 0; min-width: 0; }
figure svg { width: 100%; height: auto; max-width: 40rem; }
svg text { fill: currentColor; font-family: inherit !important; }
figcaption, .note { font-size: .9rem; color: var(--soft); }
summary { cursor: pointer; padding: .4rem 0; }
"""


def page(title: str, lead: str, sections: Sequence[tuple[str, str]]) -> str:
    """A whole document of (heading, content in HTML); a list of links before them where there are several."""
    names = [f"s{number}" for number, _ in enumerate(sections, start=1)]
    links = "".join(
        f'<li><a href="#{name}">{escape(heading)}</a></li>\n'
        for name, (heading, _) in zip(names, sections, strict=True)
    )
    body = "".join(
        f'<section aria-labelledby="{name}">\n<h2 id="{name}">{escape(heading)}</h2>\n{content}</section>\n'
        for name, (heading, content) in zip(names, sections, strict=True)
    )
    contents = f'<nav aria-label="Contents"><ul>\n{links}</ul></nav>\n' if len(sections) > 2 else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{css_colors()}{STYLE}</style>\n</head>\n<body>\n"
        f"<main>\n<h1>{escape(title)}</h1>\n{lead}{contents}{body}</main>\n</body>\n</html>\n"
    )


def paragraph(text: str, kind: str = "") -> str:
    return f'<p class="{kind}">{escape(text)}</p>\n' if kind else f"<p>{escape(text)}</p>\n"


def bullets(texts: Sequence[str]) -> str:
    return "<ul>\n" + "".join(f"<li>{escape(text)}</li>\n" for text in texts) + "</ul>\n"


def subheading(text: str) -> str:
    return f"<h3>{escape(text)}</h3>\n"


def table(caption: str, headings: Sequence[str], rows: Sequence[Sequence[str]], num_text_columns: int) -> str:
    """The first column names the row; columns after the first `num_text_columns` are numbers, aligned to the right.

    It scrolls within itself where the page is narrower.
    """

    def cells(texts: Sequence[str], scope: str) -> str:
        line = ""
        for place, text in enumerate(texts):
            tag = f'th scope="{scope}"' if scope == "col" or place == 0 else "td"
            kind = ' class="number"' if place >= num_text_columns else ""
            text = escape(text).replace("_", "_<wbr>") if tag.startswith("th") else escape(text)
            line += f"<{tag}{kind}>{text}</{tag[:2]}>"
        return f"<tr>{line}</tr>\n"

    return (
        f'<div class="wide" role="region" tabindex="0" aria-label="{escape(caption)}">\n'
        f"<table>\n<caption>{escape(caption)}</caption>\n<thead>\n{cells(headings, 'col')}</thead>\n"
        f"<tbody>\n{''.join(cells(row, 'row') for row in rows)}</tbody>\n</table>\n</div>\n"
    )


def figure(drawing: str, caption: str) -> str:
    """`drawing`: inline SVG; `caption` says what is to be seen, and is its text for who does not see it."""
    labelled = drawing.replace("<svg", f'<svg role="img" aria-label="{escape(caption)}"', 1)
    return f"<figure>\n{labelled}\n<figcaption>{escape(caption)}</figcaption>\n</figure>\n"


def figures(several: Sequence[str]) -> str:
    """Side by side where there is room."""
    return f'<div class="figures">\n{"".join(several)}</div>\n'


def folded(summary: str, content: str) -> str:
    """What is shown when a reader asks for it."""
    return f"<details>\n<summary>{escape(summary)}</summary>\n{content}</details>\n"
