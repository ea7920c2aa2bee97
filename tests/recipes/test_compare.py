"""egs/mini/compare.sh: a grid is trained, killed, resumed; one system fails; the table is that of the score files."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from recipes.small_system import SMALL_OPTIONS
from recipes.speech import make_corpus

from spk.data.scores import read_scores, scores_of_trials
from spk.data.trials import read_trials
from spk.losses import LOSSES
from spk.metrics.eer import eer_from
from spk.metrics.error_rates import error_rates

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("compare")
    make_corpus(folder / "buzz", train_speakers=8, test_speakers=4, utterances=5, seconds=1.5)
    (folder / "grid.yaml").write_text(yaml.safe_dump(GRID, sort_keys=False))
    return folder


def command(folder: Path, *options: str, grid: str = "grid.yaml") -> list[str]:
    recipe = [f"--corpus={folder / 'buzz'}", f"--data={folder / 'data'}", "--backends=own,plda", "--nj=1"]
    compared = [f"--grid={folder / grid}", f"--exp={folder / 'exp'}", "--draws=50", *options]
    return [COMPARE, *compared, "--", *recipe, *SMALL_OPTIONS]


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    for _ in range(3000):
        if path.exists():
            return
        assert process.poll() is None, "the comparison ended"
        time.sleep(0.1)
    raise AssertionError(f"{path} does not come")


@pytest.fixture(scope="module")
def resumed(folder) -> subprocess.CompletedProcess[str]:
    """Killed when the first run is done, and run again."""
    first = subprocess.Popen(
        command(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    wait_for(folder / "exp/am_seed1/.run.done", first)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate(timeout=60)
    return subprocess.run(command(folder), capture_output=True, text=True, timeout=900)


def test_what_is_done_is_kept_and_a_failing_system_loses_no_other(folder, resumed):
    assert (
        resumed.returncode == 1
        and "these runs failed, and are counted in the table: broken_seed1 broken_seed2;" in resumed.stderr
    )
    assert "am_seed1      done" in resumed.stderr
    assert len(list((folder / "exp").glob("*/.run.done"))) == 4
    assert sorted(path.parent.name for path in (folder / "exp").glob("*/.run.failed")) == [
        "broken_seed1",
        "broken_seed2",
    ]
    rows = list(csv.DictReader((folder / "exp/report/comparison.csv").open()))
    assert {(row["System"], row["Back-end"]): row["Seeds"] for row in rows} == {
        **{(name, backend): "2 of 2" for name in ("am", "dam") for backend in ("own", "plda")},
        **{("broken", backend): "0 of 2, 2 failed" for backend in ("own", "plda")},
    }
    assert {row["EER %"] for row in rows if row["System"] == "broken"} == {"-"}


def test_the_numbers_are_those_of_the_score_files(folder, resumed):
    content = json.loads((folder / "exp/report/comparison.json").read_text())
    for row in content["rows"]:
        if row["system"] == "broken":
            continue
        eers = []
        for seed in GRID["seeds"]:
            run = folder / "exp" / f"{row['system']}_seed{seed}"
            backend = "cosine" if row["backend"] == "own" else row["backend"]
            (path,) = run.glob(f"scores_*_{backend}")
            trials = read_trials(json.loads(Path(f"{path}.json").read_text())["trials"])
            values = scores_of_trials(trials, read_scores(path), "", path)
            eers.append(eer_from(error_rates(values[trials.is_target], values[~trials.is_target])))
        assert row["result"]["eer"]["values"] == pytest.approx(eers)
        assert row["result"]["eer"]["mean"] == pytest.approx(np.mean(eers))
        assert row["result"]["eer"]["deviation"] == pytest.approx(np.std(eers, ddof=1))
    assert len(content["made_from"]["runs"]) == 4 and "SHA-256" in content["made_from"]["grid"]


def test_status_says_how_far_each_run_is(folder, resumed):
    done = subprocess.run(command(folder, "--only-status=true"), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "4 of 6 runs are done" in done.stderr
    assert any("broken_seed2" in line and "failed with status" in line for line in done.stderr.splitlines())


def test_unequal_conditions_are_refused_before_anything_is_made(folder):
    unequal = {**GRID, "systems": {"am": {}, "dam": {"loss.name": "dam_softmax", "normalization.name": "instance"}}}
    (folder / "unequal.yaml").write_text(yaml.safe_dump(unequal, sort_keys=False))
    words = command(folder, f"--exp={folder / 'none'}", grid="unequal.yaml")
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and not (folder / "none").exists()
    assert "dam: normalization.name is instance, and global in am" in done.stderr


def test_the_grid_of_objectives_has_all_of_them():
    systems = yaml.safe_load((ROOT / "egs/mini/conf/grids/objectives.yaml").read_text())["systems"]
    assert sorted(system["loss.name"] for system in systems.values()) == sorted(set(LOSSES) - {"sum"})


@pytest.mark.parametrize("grid", GRIDS, ids=lambda path: f"{path.parents[2].name}-{path.stem}")
def test_the_systems_of_each_grid_are_trained_under_equal_conditions(grid, tmp_path):
    compare = str(grid.parents[2] / "compare.sh")
    words = [compare, f"--grid={grid}", f"--exp={tmp_path / 'exp'}", "--only-status=true", "--", "--corpus=none"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "0 of " in done.stderr and not (tmp_path / "exp").exists()


def test_sitw_tests_what_voxceleb_has_trained(tmp_path):
    words = [ROOT / "egs/sitw/compare.sh", "--grid=../voxceleb/conf/grids/am_dam.yaml", f"--models={tmp_path / 'models'}"]
    words += [f"--exp={tmp_path / 'exp'}", "--only-status=true", "--", "--sitw=none"]
    done = subprocess.run([*map(str, words)], cwd=ROOT / "egs/sitw", capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "0 of 10 runs are done" in done.stderr
