"""Put the tables that the benchmarks wrote into docs/performance.md, and draw its plots.

Usage: python3 tests/benchmarks/report.py [--page FILE] FOLDER
FOLDER holds NAME.json of every benchmark (tests/benchmarks/run_all.sh FOLDER). Between the lines of the page
    <!-- begin NAME --> ... <!-- end NAME -->                   all tables of NAME.json
    <!-- begin NAME: TITLE --> ... <!-- end NAME: TITLE -->     those whose titles begin so
come the tables with their command, commit and machine; the text around them stays. What FOLDER does not have stays as
it is and is named. The plots are ratios.png, growth_time.png and growth_memory.png in the folder that has the page's
name without .md.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from measure import ROOT, Table, line, shown

OURS = re.compile(r"^spk([:,] |$)")  # how rows of our own ways begin
PLACE = re.compile(r"(?P<begin><!-- begin (?P<what>[^>]+?) -->\n).*?(?P<end><!-- end (?P=what) -->)", re.DOTALL)
FEWEST_POINTS = 3  # for a straight line through them
LINES_OF_PANEL = 8
LONGEST_LABEL = 64
HEIGHT_OF_BAR = 0.22  # inches
VOXCELEB2_UTTERANCES = 1_092_009
Results = dict[str, dict[str, Any]]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--page", type=Path, default=ROOT / "docs" / "performance.md", help="(%(default)s)")
    options.add_argument("folder", type=Path)
    options = options.parse_args()
    results = read_results(options.folder)
    if not options.page.is_file():
        raise SystemExit(f"report: {options.page}: no such page")
    text, missing, unused = fill(options.page.read_text(), results)
    plots = options.page.with_suffix("")
    plots.mkdir(exist_ok=True)
    if shown_before := sorted(measured_on(text) - results.keys()):
        print(f"report: ratios.png: left as it was, for {', '.join(shown_before)} would be missing", file=sys.stderr)
    else:
        draw_ratios(results, plots / "ratios.png")
    if "growth" in results:
        points = table_of(results["growth"], "Points")
        draw_growth(points, plots / "growth_time.png", "cpu_seconds", "processor time, s")
        draw_growth(points, plots / "growth_memory.png", "peak_mb", "memory above what was in use before, MB")
    options.page.write_text(text)
    for what, named in (("not in the folder, left as it was", missing), ("has no place on the page", unused)):
        for name in named:
            print(f"report: {name}: {what}", file=sys.stderr)


def read_results(folder: Path) -> Results:
    """{benchmark: the content of its file}; SystemExit for a file that is none of a benchmark's."""
    results = {}
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_text())
            content["tables"] = [Table(**table) for table in content["tables"]]
        except (ValueError, KeyError, TypeError) as error:
            raise SystemExit(f"report: {path}: is no file of --json ({error}); run that benchmark again") from None
        results[path.stem] = content
    if not results:
        raise SystemExit(f"report: {folder}: has no *.json; tests/benchmarks/run_all.sh {folder} makes them")
    return results


def fill(page: str, results: Results) -> tuple[str, list[str], list[str]]:
    """(the page with the results, the places for which there are none, the results without a place)."""
    missing, used = [], set()

    def replaced(place: re.Match[str]) -> str:
        name, _, title = place["what"].partition(": ")
        content = results.get(name)
        tables = [table for table in content["tables"] if table.title.startswith(title)] if content else []
        if not tables:
            missing.append(place["what"])
            return place[0]
        used.add(name)
        blocks = [f"**{table.title}**\n\n{markdown(table)}\n" for table in tables]
        return "\n".join([f"{place['begin']}", *blocks, f"{source_of(content)}\n", place["end"]])

    text = PLACE.sub(replaced, page)
    return text, missing, sorted(results.keys() - used)


def measured_on(page: str) -> set[str]:
    """The benchmarks that have tables on the page."""
    return {place["what"].partition(": ")[0] for place in PLACE.finditer(page) if "|" in place[0]}


def markdown(table: Table) -> str:
    """Only the table of what `print(table)` shows; bars in cells do not end them."""
    rows = [[value.replace("|", "\\|") if isinstance(value, str) else value for value in row] for row in table.rows]
    lines = str(Table("", table.columns, rows)).splitlines()[2:]
    is_number = [all(not isinstance(row[column], str) for row in rows) for column in range(len(table.columns))]
    rule = "|".join("-" * (len(cell) - right) + ":" * right
                    for cell, right in zip(lines[1].strip("|").split("|"), is_number, strict=True))  # fmt: skip
    return "\n".join([lines[0], f"|{rule}|", *lines[2:]])


def source_of(content: Mapping[str, Any]) -> str:
    """One line: command, commit and machine."""
    machine = content["machine"]
    parts = [f"{machine['processor']}, {machine['cores']} cores, load {machine['load']}", f"torch {machine['torch']}"]
    if "gpu" in machine:
        parts.append(machine["gpu"])
    return f"`{content['command']}`, commit {content['commit']}, {', '.join(parts)}."


def table_of(content: Mapping[str, Any], title: str) -> list[dict[str, Any]]:
    """The rows of the table of this title, by column."""
    tables = [table for table in content["tables"] if table.title == title]
    return [dict(zip(table.columns, row, strict=True)) for table in tables for row in table.rows]


def ratios(results: Results) -> list[tuple[str, str, float]]:
    """(benchmark, what is compared, ratio) of every number in a column called ratio, ratio to ..., / ... or speed.

    What is compared is said by the words that begin its row and the column's own; where several columns are called
    ratio, each by that before it, which holds the rate of the other way; where two are said alike, by their tables'
    titles, too. A ratio of 1 is of a way with itself. Where rows say that they are of spk, the others are none.
    """
    found = []
    for name, content in results.items():
        for table in content["tables"]:
            places = [
                place for place, column in enumerate(table.columns) if re.fullmatch(r"(ratio|/)( .*)?|speed", column)
            ]
            own = [row for row in table.rows if OURS.match(str(row[0]))]
            for row in own or table.rows:
                begin = row[: places[0]] if places else []
                words = [word for value in begin if isinstance(value, str) and (word := OURS.sub("", value))]
                for place in places:
                    column = re.sub(r"^(ratio|speed|/(?= .))", "", table.columns[place]).strip()
                    if not column and len(places) > 1:
                        column = re.sub(r"[(,].*", "", table.columns[place - 1]).strip()
                    if isinstance(row[place], int | float) and row[place] != 1:
                        what = ", ".join([*words, column] if column else words)
                        found.append((name, what, table.title, float(row[place])))
    times = Counter((name, what) for name, what, *_ in found)
    return [
        (name, what if what and times[name, what] == 1 else ": ".join(filter(None, [what, title])), ratio)
        for name, what, title, ratio in found
    ]


def draw_ratios(results: Results, path: Path) -> None:
    """A bar for each ratio, on a logarithmic axis from 1, those of a benchmark together, in two columns."""
    found = ratios(results)
    if not found:
        return
    own = {name: [one[1:] for one in found if one[0] == name] for name, *_ in found}
    lines = {name: len(bars) + 1 for name, bars in own.items()}  # with its name
    before = dict(zip(lines, accumulate(lines.values(), initial=0), strict=False))
    columns = [[name for name in own if (before[name] >= sum(lines.values()) / 2) == is_right] for is_right in (0, 1)]
    columns = [names for names in columns if names]
    longest = max(sum(lines[name] for name in names) for names in columns)
    least, most = min(ratio for *_, ratio in found), max(ratio for *_, ratio in found)
    figure, grid = pyplot().subplots(
        1, len(columns), figsize=(7.5 * len(columns), 1.0 + HEIGHT_OF_BAR * longest), squeeze=False
    )
    for axes, names in zip(grid.flat, columns, strict=True):
        draw_bars(axes, {name: own[name] for name in names})
        axes.set_xscale("log")
        axes.set_xlim(min(0.3, least / 2), most * 3)
        axes.set_ylim(longest - 0.4, -0.6)
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xlabel("speed of spk over that of the other way")
        axes.grid(axis="x", which="major", alpha=0.3)
    save(figure, path)


def draw_bars(axes, own: Mapping[str, Sequence[tuple[str, float]]]) -> None:
    """Of each benchmark its name, and below it a bar for each (what is compared, ratio)."""
    labels = []
    for name, bars in own.items():
        labels.append(name)
        for what, ratio in bars:
            position = len(labels)
            axes.barh(position, ratio - 1, left=1, color="tab:blue" if ratio >= 1 else "tab:red", height=0.7)
            axes.annotate(shown(ratio), (ratio, position), xytext=(3 if ratio >= 1 else -3, 0), va="center",
                          ha="left" if ratio >= 1 else "right", textcoords="offset points", fontsize=7)  # fmt: skip
            labels.append(what if len(what) <= LONGEST_LABEL else what[: LONGEST_LABEL - 1] + "…")
    axes.set_yticks(range(len(labels)), labels, fontsize=7)
    for label in axes.get_yticklabels():
        if label.get_text() in own:
            label.set_weight("bold")


def draw_proportion(axes: Any) -> None:
    """A line of slope 1 from the lower left corner of what is drawn, which keeps its limits."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    reach = min(right / left, top / bottom)
    axes.plot([left, left * reach], [bottom, bottom * reach], ":", color="grey", linewidth=1)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)


def draw_growth(points: Sequence[Mapping[str, Any]], path: Path, column: str, label: str) -> None:
    """Points in logarithmic axes, at most LINES_OF_PANEL stages a panel; of memory with lines to VoxCeleb2.

    A dotted line is what grows in proportion to size.
    """
    plt = pyplot()
    stages = list(dict.fromkeys(point["stage"] for point in points))
    panels = []
    for units in (["utterances"], ["trials", "speakers"]):
        own = [one for one in stages if next(point for point in points if point["stage"] == one)["unit"] in units]
        panels += [(units, own[first : first + LINES_OF_PANEL]) for first in range(0, len(own), LINES_OF_PANEL)]
    columns = 2 if len(panels) > 1 else 1
    rows = -(-len(panels) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(5.5 * columns, 4.8 * rows), squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, (units, own) in zip(grid.flat, panels, strict=False):
        for number, stage in enumerate(own):
            colour = f"C{number}"
            drawn = sorted((point["size"], point[column]) for point in points if point["stage"] == stage)
            measured = [(size, value) for size, value in drawn if value > 0]
            large = {point["size"] for point in points if point["stage"] == stage and point["is_large"]}
            fitted = [(size, value) for size, value in measured if size not in large]
            if not fitted:
                continue
            axes.plot(*zip(*fitted, strict=True), "o-", color=colour, markersize=3, linewidth=1, label=stage)
            for size, value in measured:
                if size in large:
                    axes.plot(size, value, "*", color=colour, markersize=9)
            upper = [one for one in fitted if one[0] * 10 >= fitted[-1][0]]
            if column == "peak_mb" and units == ["utterances"] and len(upper) >= FEWEST_POINTS:
                at_zero, slope = line(*zip(*upper, strict=True))
                ends = (upper[-1][0], VOXCELEB2_UTTERANCES)
                values = [at_zero + slope * size for size in ends]
                if min(values) > 0:
                    axes.plot(ends, values, "--", color=colour, linewidth=0.8)
        axes.set_xscale("log")
        axes.set_yscale("log")
        if units == ["utterances"]:
            axes.axvline(VOXCELEB2_UTTERANCES, color="grey", linewidth=0.8)
            axes.text(VOXCELEB2_UTTERANCES, 0.02, "VoxCeleb2 ", transform=axes.get_xaxis_transform(), rotation=90,
                      ha="right", va="bottom", fontsize=7, color="grey")  # fmt: skip
        axes.set_xlabel(" or ".join(units))
        axes.set_ylabel(label)
        if axes.lines:
            draw_proportion(axes)
            axes.legend(fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.16))  # hides no points
        axes.grid(alpha=0.3)
    save(figure, path)


def pyplot():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot

    return matplotlib.pyplot


def save(figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=100, metadata={"Software": None})
    pyplot().close(figure)


if __name__ == "__main__":
    main()
