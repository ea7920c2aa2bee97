"""egs/mini/compare.sh: a grid is trained, killed, resumed; one system fails; the table is that of the score files."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import yaml
from pages.warm_python import warm_python
from recipes.processes import kill_when, waits_for
from recipes.small_system import SMALL_OPTIONS
from recipes.speech import make_corpus
from unit.report.page_reader import Page, swept_eer

from spk.losses import LOSSES
from spk.report.grid import check_conditions, read_grid

ROOT = Path(__file__).resolve().parents[2]
COMPARE = str(ROOT / "egs/mini/compare.sh")
GRIDS = sorted((ROOT / "egs").glob("*/conf/grids/*.yaml"))
GRID = {
    "config": "conf/objectives.yaml",
    "seeds": [1, 2],
    "reference": "am",
    "differ": ["loss", "optimizer.lr"],
    "systems": {
        "am": {"loss.name": "am_softmax"},
        "dam": {"loss.name": "dam_softmax"},
        "broken": {"loss.name": "dam_softmax", "optimizer.lr": 1.0e30},
    },
}
ENDS = {
    ".run.done": ["am_seed1", "am_seed2", "dam_seed1", "dam_seed2"],
    ".run.failed": ["broken_seed1", "broken_seed2"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("compare")
    make_corpus(folder / "buzz", train_speakers=8, test_speakers=4, utterances=4, seconds=1.5)
    (folder / "grid.yaml").write_text(yaml.safe_dump(GRID, sort_keys=False))
    return folder


def command(folder: Path, *options: str, grid: str = "grid.yaml") -> list[str]:
    recipe = [f"--corpus={folder / 'buzz'}", f"--data={folder / 'data'}", "--backends=own", "--nj=1", "--stop-stage=5"]
    compared = [f"--grid={folder / grid}", f"--exp={folder / 'exp'}", "--draws=20", *options]
    return [COMPARE, *compared, "--", *recipe, *SMALL_OPTIONS]


@pytest.fixture(scope="module")
def python():
    """The environment of a python3 that need not start each time."""
    with warm_python(ROOT) as environment:
        yield environment


def run(words: list[str], python: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, env=python, capture_output=True, text=True, timeout=900)


@pytest.fixture(scope="module")
def resumed(folder, python) -> subprocess.CompletedProcess[str]:
    """Killed in the middle of the second training, in earnest, and run again."""
    first = subprocess.Popen(command(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    kill_when(first, lambda: (folder / "exp/dam_seed1/run.json").exists(), timeout=300)
    assert (folder / "exp/am_seed1/.run.done").exists() and not (folder / "exp/dam_seed1/final.pt").exists()
    made = (folder / "exp/am_seed1/final.pt").stat().st_mtime_ns
    done = run(command(folder), python)
    assert (folder / "exp/am_seed1/final.pt").stat().st_mtime_ns == made
    return done


def test_what_is_done_is_kept_and_a_failing_system_loses_no_other(folder, resumed):
    assert resumed.returncode == 1, resumed.stderr
    assert "these runs failed, and are counted in the table: broken_seed1 broken_seed2;" in resumed.stderr
    assert "am_seed1      done" in resumed.stderr
    marks = {mark: sorted(path.parent.name for path in (folder / "exp").glob(f"*/{mark}")) for mark in ENDS}
    assert marks == ENDS
    rows = list(csv.DictReader((folder / "exp/report/comparison.csv").open()))
    assert {(row["System"], row["Back-end"]): row["Seeds"] for row in rows} == {
        ("am", "own"): "2 of 2",
        ("dam", "own"): "2 of 2",
        ("broken", "own"): "0 of 2, 2 failed",
    }
    assert {row["EER %"] for row in rows if row["System"] == "broken"} == {"-"}
    assert "2 of 6 runs have no scores: broken_seed1 (failed), broken_seed2 (failed)" in resumed.stdout


def test_the_numbers_are_those_of_the_score_files(folder, resumed):
    content = json.loads((folder / "exp/report/comparison.json").read_text())
    page = Page((folder / "exp/report/index.html").read_text(encoding="utf-8"))
    ((headings, *lines),) = page.tables.values()
    shown = {line[0]: dict(zip(headings, line, strict=True))["EER %"] for line in lines}
    assert shown.pop("broken") == "-"
    results = {row["system"]: row["result"] for row in content["rows"]}
    for name, text in shown.items():
        eers = []
        for seed in GRID["seeds"]:
            (path,) = (folder / "exp" / f"{name}_seed{seed}").glob("scores_*_cosine")
            eers.append(swept_eer(Path(json.loads(Path(f"{path}.json").read_text())["trials"]), path))
        assert results[name]["eer"]["values"] == pytest.approx(eers)
        assert results[name]["eer"]["mean"] == pytest.approx(np.mean(eers))
        assert results[name]["eer"]["deviation"] == pytest.approx(np.std(eers, ddof=1))
        assert text == f"{100 * np.mean(eers):.2f} ± {100 * np.std(eers, ddof=1):.2f}"
    assert len(content["made_from"]["runs"]) == 4 and "SHA-256" in content["made_from"]["grid"]


def test_status_says_how_far_each_run_is(folder, resumed, python):
    done = run(command(folder, "--only-status=true"), python)
    assert done.returncode == 0, done.stderr
    assert "4 of 6 runs are done" in done.stderr
    assert any("broken_seed2" in line and "failed with status" in line for line in done.stderr.splitlines())


def test_the_comparison_remembers_what_the_command_line_changed_for_all(folder, resumed):
    runs = json.loads((folder / "exp/runs.json").read_text())
    options = [f"--{name}={value}" for name, value in zip(*[iter(runs["overrides"])] * 2, strict=True)]
    assert [option.removeprefix("--") for option in options] == SMALL_OPTIONS and runs["models"] == ""


def test_unequal_conditions_are_refused_before_anything_is_made(folder, python):
    unequal = {**GRID, "systems": {"am": {}, "dam": {"loss.name": "dam_softmax", "normalization.name": "instance"}}}
    (folder / "unequal.yaml").write_text(yaml.safe_dump(unequal, sort_keys=False))
    words = command(folder, f"--exp={folder / 'none'}", grid="unequal.yaml")
    done = run(words, python)
    assert done.returncode == 1 and not (folder / "none").exists()
    assert "dam: normalization.name is instance, and global in am" in done.stderr


def test_of_two_calls_at_once_the_second_waits(folder, resumed, tmp_path, python):
    words = command(folder, "--systems=am,dam", f"--report={tmp_path}")
    lines = waits_for(folder / "exp", words, cwd=folder, env=python)
    assert "4 of 4 runs are done\n" in lines


def test_the_grid_of_objectives_has_all_of_them():
    systems = yaml.safe_load((ROOT / "egs/mini/conf/grids/objectives.yaml").read_text())["systems"]
    assert sorted(system["loss.name"] for system in systems.values()) == sorted(set(LOSSES) - {"sum"})


@pytest.mark.parametrize("grid", GRIDS, ids=lambda path: f"{path.parents[2].name}-{path.stem}")
def test_the_systems_of_each_grid_are_trained_under_equal_conditions(grid):
    assert check_conditions(read_grid(grid))


@pytest.mark.parametrize("recipe", ["voxceleb", "sitw"])
def test_each_recipe_compares(recipe, tmp_path, python):
    """What egs/voxceleb trains, egs/sitw tests."""
    words = [ROOT / f"egs/{recipe}/compare.sh", f"--grid={ROOT}/egs/voxceleb/conf/grids/am_dam.yaml"]
    words += [f"--exp={tmp_path / 'exp'}", "--only-status=true"]
    words += [f"--models={tmp_path / 'models'}", "--", "--sitw=none"] if recipe == "sitw" else ["--", "--train=vox1"]
    done = run([*map(str, words)], python)
    assert done.returncode == 0, done.stderr
    assert "0 of 10 runs are done" in done.stderr and not (tmp_path / "exp").exists()
