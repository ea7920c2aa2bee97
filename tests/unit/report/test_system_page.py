"""The page of systems: its numbers are the score files', and it is made again when what it is made from changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from unit.report.comparison_tree import write_tree
from unit.report.page_reader import Page, swept_eer

RUNS = ("dam_0.2_seed1", "am_0.1_seed2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("systems")
    write_tree(folder)
    return folder


def report(folder: Path) -> subprocess.CompletedProcess[str]:
    exps = [str(folder / "exp" / run) for run in RUNS]
    words = ["-m", "spk.bin.report", "--draws", "0", "--output", str(folder / "report"), *exps]
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=300)


def test_the_page_says_what_the_score_files_say_until_these_change(folder):
    done = report(folder)
    assert done.returncode == 0, done.stderr
    path = folder / "report/index.html"
    text = path.read_text(encoding="utf-8")
    ((caption, rows),) = Page(text).tables.items()
    headings, *lines = rows
    assert caption == "Results on test" and "Test set" not in headings
    found = {tuple(line[:2]): line[headings.index("EER %")] for line in lines}
    assert found == {
        (run, backend): f"{100 * swept_eer(folder / 'trials', folder / f'exp/{run}/scores_test_{backend}'):.2f}"
        for run in RUNS
        for backend in ("cosine", "plda")
    }
    assert "dam_0.2_seed1: cos θ between" in text and "Learning curves" in text

    made = path.stat().st_mtime_ns
    assert report(folder).returncode == 0 and path.stat().st_mtime_ns == made
    log = folder / "exp" / RUNS[0] / "training.csv"
    log.write_text(log.read_text() + "61,3,0.5,0.001,50,\n")
    assert report(folder).returncode == 0 and path.stat().st_mtime_ns > made

    log.write_text("no log\n1\n")
    done = report(folder)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"{log}:2: is no row of a training's log" in done.stderr.splitlines()[-1]

    (log.parent / "config.yaml").write_text("loss: 3\n")
    done = report(folder)
    assert done.returncode == 1 and f"{log.parent}/config.yaml: loss: needs a name" in done.stderr.splitlines()[-1]
