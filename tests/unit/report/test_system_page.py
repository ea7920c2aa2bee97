"""The page of systems: its numbers are the score files', and it is made again when what it is made from changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from unit.report.comparison_tree import BACKENDS, SYSTEMS, write_tree
from unit.report.page_reader import Page, swept_eer

from spk.bin.report import main

RUNS = ("dam_0.2_seed1", "am_0.1_seed1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("systems")
    write_tree(folder, {name: SYSTEMS[name] for name in ("dam_0.2", "am_0.1")}, seeds=(1,))
    return folder


def test_the_page_says_what_the_score_files_say_until_these_change(folder, monkeypatch):
    exps = [str(folder / "exp" / run) for run in RUNS]
    words = ["report", "--draws", "0", "--output", str(folder / "report"), *exps]
    monkeypatch.setattr("sys.argv", words)

    main()
    path = folder / "report/index.html"
    text = path.read_text(encoding="utf-8")
    ((caption, rows),) = Page(text).tables.items()
    headings, *lines = rows
    assert caption == "Results on test" and "Test set" not in headings
    found = {tuple(line[:2]): line[headings.index("EER %")] for line in lines}
    assert found == {
        (run, backend): f"{100 * swept_eer(folder / 'trials', folder / f'exp/{run}/scores_test_{backend}'):.2f}"
        for run in RUNS
        for backend in BACKENDS
    }
    assert "dam_0.2_seed1: cos θ between" in text and "Learning curves" in text

    made = path.stat().st_mtime_ns
    main()
    assert path.stat().st_mtime_ns == made
    log = folder / "exp" / RUNS[0] / "training.csv"
    log.write_text(log.read_text() + "61,3,0.5,0.001,50,\n")
    main()
    assert path.stat().st_mtime_ns > made

    log.write_text("no log\n1\n")
    with pytest.raises(SystemExit, match=r"training\.csv:2: is no row of a training's log"):
        main()
    (log.parent / "config.yaml").write_text("loss: 3\n")
    with pytest.raises(SystemExit, match=r"config\.yaml: loss: needs a name"):
        main()
