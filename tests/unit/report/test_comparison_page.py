"""The page of a comparison: its numbers are the score files', it needs no other file, and it fits a phone."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from unit.report.comparison_tree import NUM_ROWS, REFERENCE, SEEDS, SYSTEMS, write_tree
from unit.report.page_reader import Page, swept_eer

from spk.report.comparison import compare_grid
from spk.report.comparison_page import comparison_page
from spk.report.grid import read_grid
from spk.report.shown import MOST, NUM_BEST

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OVERVIEW = "EER in percent, the best on test, own first; ○: the reference"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    write_tree(folder)
    return folder


@pytest.fixture(scope="module")
def text(folder) -> str:
    return comparison_page(compare_grid(read_grid(folder / "grid.yaml"), folder / "exp", 50))


def test_every_eer_is_that_of_the_score_files(folder, text):
    tables = Page(text).tables
    assert list(tables) == [OVERVIEW, "Systems on test, back-end own", "Systems on test, back-end plda"]
    in_short = {line[0]: line[1:] for line in tables.pop(OVERVIEW)[1:]}
    for place, (backend, rows) in enumerate(zip(("cosine", "plda"), tables.values(), strict=True)):
        headings, *lines = rows
        assert [line[0] for line in lines] == list(SYSTEMS)
        for line in lines:
            cells = dict(zip(headings, line, strict=True))
            eers = [
                swept_eer(folder / "trials", folder / f"exp/{line[0]}_seed{seed}/scores_test_{backend}")
                for seed in SEEDS
            ]
            mean, deviation = (float(number) for number in cells["EER %"].split(" ± "))
            assert mean == pytest.approx(100 * np.mean(eers), abs=0.0051)
            assert deviation == pytest.approx(100 * np.std(eers, ddof=1), abs=0.0051)
            assert cells["Seeds"] == "3 of 3"
            sign = "○" if line[0] == REFERENCE else cells["Against the reference"][0]
            assert in_short[line[0]][place] == f"{cells['EER %']} {sign}"


def test_the_overview_begins_with_the_best_system(text):
    lines = Page(text).tables[OVERVIEW][1:]
    eers = [float(line[1].split()[0]) for line in lines]
    assert eers == sorted(eers) and lines[0][0] == "dam_0.2" and len(lines) == len(SYSTEMS)


def test_differences_are_told_by_a_sign_and_a_word(text):
    _, *lines = Page(text).tables["Systems on test, back-end own"]
    verdicts = {line[0]: line[1] for line in lines}
    assert verdicts == {
        "am_0.1": "≈ no difference",
        REFERENCE: "reference",
        "dam_0.2": "▼ better",
        "softmax_without_margin": "▲ worse",
    }


def test_the_page_needs_no_other_file_and_can_be_read_aloud(text):
    page = Page(text)
    for tag, name, value in page.attributes:
        if name in ("src", "href", "xlink:href", "action", "data"):
            assert value.startswith("#"), f"<{tag} {name}={value!r}>"
    assert not re.search(r"@import|url\((?!#)|<script|<link|<img", text)
    drawings = [value for tag, name, value in page.attributes if (tag, name) == ("svg", "aria-label")]
    # DET curves and a histogram of each system twice; sensitivity twice; learning curves, cosines, margins.
    assert len(drawings) == 2 * (1 + len(SYSTEMS)) + 2 + 1 + 3 + 1 == text.count("<svg")
    assert all(len(label) > 20 for label in drawings)
    scopes = [value for tag, name, value in page.attributes if (tag, name) == ("th", "scope")]
    assert scopes.count("row") == 3 * len(SYSTEMS) and set(scopes) == {"row", "col"}
    names = [value for _, name, value in page.attributes if name == "id"]
    assert len(names) == len(set(names))


def test_figures_are_of_training_as_it_was_logged(text):
    assert "EER on test, back-end own, against loss.margin" in text
    assert f"end (steps {NUM_ROWS - 2} to {NUM_ROWS})" in text  # a twentieth of the rows
    assert "No distribution of cos θ: softmax_without_margin left no cosines.csv" in text


def test_of_very_many_systems_all_are_in_tables_and_few_in_figures(tmp_path):
    systems = {
        f"dam_{place}": ({"loss.name": "dam_softmax", "loss.margin": place / 10}, place / 5) for place in range(1, 17)
    }
    systems[REFERENCE] = SYSTEMS[REFERENCE]
    write_tree(tmp_path, systems, seeds=(1,), backends=("cosine",))
    text = comparison_page(compare_grid(read_grid(tmp_path / "grid.yaml"), tmp_path / "exp", 2))
    page = Page(text)
    (lines,) = page.tables.values()
    assert len(systems) > MOST and [line[0] for line in lines[1:]] == list(systems)
    drawn = [value for tag, name, value in page.attributes if (tag, name) == ("svg", "aria-label")]
    histograms = [value.split(":")[0] for value in drawn if "scores of target and non-target trials" in value]
    ranked = sorted(lines[1:], key=lambda line: float(line[lines[0].index("EER %")]))
    best, worst = [line[0] for line in ranked[:NUM_BEST]], ranked[-1][0]
    assert REFERENCE not in (*best, worst)
    assert histograms == [name for name in systems if name in (*best, worst, REFERENCE)]
    assert (
        text.count("Of 17 systems the 5 best, the worst and the reference are drawn.") == 3
    )  # figure, alt text, training
    assert [value.split(":")[0] for value in drawn if "cos θ between" in value] == histograms


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_page_itself_never_scrolls_sideways(text, tmp_path):
    widths = (390, 1280)
    (tmp_path / "index.html").write_text(text, encoding="utf-8")
    frames = [f'<iframe src="index.html" style="width:{width}px;height:900px;border:0"></iframe>' for width in widths]
    script = (
        "<script>window.onload=()=>{document.title='widths '+[...document.querySelectorAll('iframe')].map(f=>"
        "{const d=f.contentDocument;d.querySelectorAll('details').forEach(e=>e.open=true);"
        "return d.documentElement.scrollWidth}).join(' ')}</script>"
    )
    (tmp_path / "frames.html").write_text("".join(frames) + script)
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--dump-dom"]
    options += [f"--user-data-dir={tmp_path / 'profile'}", "--hide-scrollbars"]
    done = subprocess.run(
        [CHROMIUM, *options, f"file://{tmp_path}/frames.html"], capture_output=True, text=True, timeout=120
    )
    assert "<title>widths 390 1280</title>" in done.stdout
