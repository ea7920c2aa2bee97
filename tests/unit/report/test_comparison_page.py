"""The page of a comparison: its numbers are the score files', it needs no other file, and it fits a phone."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from unit.report.comparison_tree import NUM_ROWS, SEEDS, SYSTEMS, write_tree
from unit.report.page_reader import Page, swept_eer

from spk.report.comparison import compare_grid
from spk.report.comparison_page import comparison_page
from spk.report.grid import read_grid

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


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
    assert list(tables) == ["Systems on test, back-end own", "Systems on test, back-end plda"]
    for backend, rows in zip(("cosine", "plda"), tables.values(), strict=True):
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


def test_differences_are_told_by_a_sign_and_a_word(text):
    _, *lines = Page(text).tables["Systems on test, back-end own"]
    verdicts = {line[0]: line[1] for line in lines}
    assert verdicts["am_0.2"] == "reference"
    assert verdicts["dam_0.2"] == "▼ better" and verdicts["softmax_without_margin"] == "▲ worse"
    assert set(verdicts.values()) == {"reference", "▼ better", "▲ worse", "≈ no difference"}


def test_the_page_needs_no_other_file_and_can_be_read_aloud(text):
    page = Page(text)
    for tag, name, value in page.attributes:
        if name in ("src", "href", "xlink:href", "action", "data"):
            assert value.startswith("#"), f"<{tag} {name}={value!r}>"
    assert not re.search(r"@import|url\((?!#)|<script|<link|<img", text)
    drawings = [value for tag, name, value in page.attributes if (tag, name) == ("svg", "aria-label")]
    # DET curves and a histogram of each system twice; sensitivity twice; learning curves, cosines, margins.
    assert len(drawings) == 2 * (1 + len(SYSTEMS)) + 2 + 1 + 5 + 1 == text.count("<svg")
    assert all(len(label) > 20 for label in drawings)
    scopes = [value for tag, name, value in page.attributes if (tag, name) == ("th", "scope")]
    assert scopes.count("row") == 2 * len(SYSTEMS) and set(scopes) == {"row", "col"}
    names = [value for _, name, value in page.attributes if name == "id"]
    assert len(names) == len(set(names))


def test_figures_are_of_training_as_it_was_logged(text):
    assert "EER on test, back-end own, against loss.margin" in text
    assert f"end (steps {NUM_ROWS - 2} to {NUM_ROWS})" in text  # a twentieth of the rows
    assert "No distribution of cos θ: softmax_without_margin left no cosines.csv" in text


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_itself_never_scrolls_sideways(text, tmp_path, width):
    (tmp_path / "index.html").write_text(text, encoding="utf-8")
    frame = (
        f'<iframe id="f" src="index.html" style="width:{width}px;height:900px;border:0"></iframe><script>f.onload=()=>'
        "{const d=f.contentDocument;d.querySelectorAll('details').forEach(e=>e.open=true);"
        "document.title='width '+d.documentElement.scrollWidth}</script>"
    )
    (tmp_path / "frame.html").write_text(frame)
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--dump-dom"]
    options += [f"--user-data-dir={tmp_path / 'profile'}", "--hide-scrollbars"]
    done = subprocess.run(
        [CHROMIUM, *options, f"file://{tmp_path}/frame.html"], capture_output=True, text=True, timeout=120
    )
    assert f"<title>width {width}</title>" in done.stdout
