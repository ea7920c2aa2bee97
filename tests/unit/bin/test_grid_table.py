"""What `grid plan` writes of a comparison's command line is what `grid table` shows."""

from __future__ import annotations

import json
import re

import pytest
from unit.report.comparison_tree import SYSTEMS, write_tree

from spk.bin.grid import main
from spk.report import comparison


@pytest.fixture
def grid(tmp_path, monkeypatch, capsys):
    """Calls the command in a folder with scores of one comparison, exp, of what another one trained, models."""
    systems = {name: SYSTEMS[name] for name in ("am_0.2", "dam_0.2")}
    write_tree(tmp_path, systems, seeds=(1,), backends=("cosine",), models="models")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.sh").write_text('#!/bin/sh\ncase "$*" in *--fail*) exit 3 ;; esac\n')
    (tmp_path / "run.sh").chmod(0o755)

    def call(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["grid", *words])
        main()
        return capsys.readouterr().out

    return call


@pytest.fixture
def compared(monkeypatch):
    """What the table is made of, each time; without its page, whose figures take their time."""
    found = []
    original = comparison.compare_grid
    monkeypatch.setattr(comparison, "compare_grid", lambda *words: found.append(original(*words)) or found[-1])
    monkeypatch.setattr("spk.report.comparison_page.comparison_page", lambda one: "a page")
    return found


def test_configs_are_those_of_the_training_and_logs_are_looked_up_there(grid, compared, tmp_path):
    grid("plan", "grid.yaml", "models", "run.sh", "--corpus", "none", "--batch.size", "100")
    planned = grid("plan", "--models", "models", "grid.yaml", "exp", "run.sh", "--evaluation.backend.name=euclidean")
    assert "0 of 2 runs are done" in planned
    for number in ("1", "2"):
        grid("run", "exp", number)
    grid("table", "--draws", "2", "--report", "elsewhere", "grid.yaml", "exp")
    assert {config.batch.size for config in compared[0].configs.values()} == {100}
    assert {config.evaluation.backend["name"] for config in compared[0].configs.values()} == {"euclidean"}
    assert compared[0].folders["am_0.2"] == [tmp_path / "models/am_0.2_seed1"]
    assert (tmp_path / "elsewhere/comparison.md").exists() and (tmp_path / "elsewhere/index.html").exists()
    assert not (tmp_path / "exp/report").exists()


def test_without_a_plan_or_with_one_of_an_older_version_the_grid_alone_is_shown(grid, compared, tmp_path, caplog):
    grid("table", "--draws", "2", "grid.yaml", "exp")
    assert {config.batch.size for config in compared[0].configs.values()} == {200}
    (tmp_path / "exp/runs.json").write_text(json.dumps({"from": "", "reference": [], "runs": []}))
    grid("table", "--draws", "2", "grid.yaml", "exp")
    assert {config.batch.size for config in compared[1].configs.values()} == {200}
    assert "exp/runs.json: is of an older version" in caplog.text


@pytest.mark.parametrize("content", ["", "[]", '{"runs": []}'])
def test_a_damaged_plan_is_named(grid, tmp_path, content):
    (tmp_path / "exp/runs.json").write_text(content)
    with pytest.raises(SystemExit, match=re.escape("exp/runs.json: cannot be read")):
        grid("table", "grid.yaml", "exp")


def test_a_comparison_is_not_of_its_own_models(grid):
    with pytest.raises(SystemExit, match="--models exp: is this comparison itself"):
        grid("plan", "--models", "exp", "grid.yaml", "exp", "run.sh")


def test_scores_of_other_options_than_those_of_the_plan_are_not_shown(grid, compared, tmp_path):
    plan = ("plan", "grid.yaml", "exp", "./run.sh")
    grid(*plan)
    for number in ("1", "2"):
        grid("run", "exp", number)
    assert "2 of 2 runs are done" in grid(*plan)
    grid(*plan, "--fail", "now")
    grid("run", "exp", "1")
    assert not (tmp_path / "exp/am_0.2_seed1/.run.done").exists()
    with pytest.raises(SystemExit, match=r"no run of grid\.yaml is done yet"):
        grid("table", "--draws", "2", "grid.yaml", "exp")
    assert "0 of 2 runs are done" in grid(*plan)


@pytest.mark.parametrize(("option", "value"), [("--draws", "1"), ("--draws", "x"), ("--nj", "0"), ("--nj", "two")])
def test_a_wrong_number_is_refused_before_anything_is_run(grid, option, value, tmp_path):
    with pytest.raises(SystemExit, match=option):
        grid("plan", option, value, "grid.yaml", "exp", "./run.sh")
    assert not (tmp_path / "exp/runs.json").exists()
