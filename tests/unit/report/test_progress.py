"""How far a run is, and how long what remains takes."""

from __future__ import annotations

import json

import pytest
import yaml

from spk.config import load_system
from spk.report.progress import DONE, FAILED, progress_of, seconds_left, time_text

SYSTEM = {
    "features": {"name": "fbank40"},
    "network": {"name": "fast_resnet34", "channels": 0.25, "embedding_dim": 64, "pooling": "tap"},
    "loss": {"name": "am_softmax"},
    "batch": {"size": 20},
    "optimizer": {"name": "adam"},
    "schedule": {"name": "constant"},
    "train": {"steps": 1000},
}


@pytest.fixture
def config(tmp_path):
    (tmp_path / "system.yaml").write_text(yaml.safe_dump(SYSTEM))
    return load_system(tmp_path / "system.yaml")


def write_steps(folder, *rows):
    lines = ["step,epoch,loss,crops_per_second", *(f"{step},1,2.0,{rate}" for step, rate in rows)]
    (folder / "training.csv").write_text("\n".join(lines) + "\n")


def test_a_run_goes_from_not_begun_to_done(tmp_path, config):
    made_from = {"command": ["run.sh"]}

    def progress():
        return progress_of(tmp_path, config, made_from)

    assert str(progress()) == "not begun" and progress().crops_left == 20_000
    write_steps(tmp_path, (20, 90.0), (40, 100.0), (60, 110.0))
    assert str(progress()) == "step 60 of 1,000" and progress().crops_per_second == 100
    assert progress().crops_left == 940 * 20
    (tmp_path / FAILED).write_text(json.dumps({"status": 3}))
    assert str(progress()) == "step 60 of 1,000; failed with status 3"
    (tmp_path / FAILED).unlink()
    (tmp_path / "final.pt").touch()
    assert str(progress()) == "trained, not tested" and progress().crops_left == 0
    (tmp_path / DONE).write_text(json.dumps(made_from))
    assert str(progress()) == "done"
    (tmp_path / DONE).write_text(json.dumps({"command": ["run.sh", "--loss.margin", "0.3"]}))
    assert not progress().done  # it was made from something else


def test_a_line_that_is_being_written_is_no_fault(tmp_path, config):
    write_steps(tmp_path, (20, 90.0), (40, 100.0))
    with (tmp_path / "training.csv").open("a") as file:
        file.write("6")
    assert progress_of(tmp_path, config, {}).step == 40


def test_time_left_is_of_own_rates_and_of_the_others_where_there_is_none(tmp_path, config):
    not_begun = progress_of(tmp_path, config, {})
    assert seconds_left([not_begun], 1) is None
    write_steps(tmp_path, (500, 100.0))
    half = progress_of(tmp_path, config, {})
    assert seconds_left([half, not_begun], 1) == pytest.approx(10_000 / 100 + 20_000 / 100)
    assert seconds_left([half, not_begun], 2) == pytest.approx(150)
    assert [time_text(seconds) for seconds in (20, 150, 7200 + 1260)] == ["a minute", "2 min", "2 h 21 min"]
