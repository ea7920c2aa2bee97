"""What a page says, read as a browser does, and what score files say, by the definition."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np

EMPTY = {"meta", "br", "wbr", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Its tables as {caption: rows of texts}, its tags and attributes; a tag that closes another one is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.attributes += [(tag, name, value or "") for name, value in attributes]
        if tag in EMPTY:
            return
        self.open.append(tag)
        if tag == "caption":
            self.caption, self.rows = "", []
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.attributes += [(tag, name, value or "") for name, value in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "table":
            self.tables[self.caption] = self.rows

    def handle_data(self, data):
        if "caption" in self.open:
            self.caption += data
        elif self.open and self.open[-1] in ("th", "td"):
            self.rows[-1][-1] += data


def swept_eer(trials: Path, scores: Path) -> float:
    """Over all thresholds: where the line between the last point with fewer misses and the next one crosses."""
    is_target = np.array([line.split()[2] == "target" for line in trials.read_text().splitlines()])
    values = np.array([float(line.split()[2]) for line in scores.read_text().splitlines()])
    thresholds = np.append(np.unique(values), np.inf)
    misses = np.array([np.mean(values[is_target] < threshold) for threshold in thresholds])
    false_alarms = np.array([np.mean(values[~is_target] >= threshold) for threshold in thresholds])
    return float(np.interp(0, misses - false_alarms, misses))
