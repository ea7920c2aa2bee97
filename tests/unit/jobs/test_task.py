"""The part of a cluster's job that runs on the node: one task of an array, and its marker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest


def submitted(folder: Path, argv: list[str], **others) -> Path:
    """An array's folder as spk.jobs.cluster writes it, with tasks 3 and 8."""
    array = folder / "array"
    for name in ("done", "out"):
        (array / name).mkdir(parents=True)
    job = {
        "log": "log/x.JOB.log",
        "argv": argv,
        "variable": "JOB",
        "resources": {"num_threads": "2"},
        "launcher": [],
        "stop_command": [],
        "signals_for_script": ["SIGUSR1"],
        "tasks": [3, 8],
        **others,
    }
    (array / "job.json").write_text(json.dumps(job))
    return array


def start(array: Path, index: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "spk.jobs.task", str(array), str(index)]
    return subprocess.Popen(command, cwd=array.parent, stderr=subprocess.PIPE, text=True)


def marker(array: Path, index: int) -> dict:
    return json.loads((array / "done" / str(index)).read_text())


def wait_for_file(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_index_runs_its_task_and_leaves_its_status(tmp_path):
    array = submitted(tmp_path, ["sh", "-c", "echo task JOB; exit JOB"])
    task = start(array, 2)
    assert task.wait(timeout=30) == 8
    assert marker(array, 2) == {"status": 8, "exit_code": 8, "signalled": ""}
    lines = (tmp_path / "log/x.8.log").read_text().splitlines()
    assert lines[0] == "# sh -c 'echo task 8; exit 8'" and lines[4] == "task 8"
    assert lines[-2].endswith(" threads=2") and lines[-1].startswith("# Ended (code 8) at ")
    assert [path.name for path in (array / "done").iterdir()] == ["2"]


@pytest.mark.parametrize("status", [99, 100])
def test_a_status_that_gridengine_takes_for_a_request_is_kept_from_it(tmp_path, status):
    array = submitted(tmp_path, ["sh", "-c", f"exit {status}"])
    assert start(array, 1).wait(timeout=30) == 1
    assert marker(array, 1)["status"] == status


def test_the_end_of_a_command_by_a_signal_is_told_from_a_status(tmp_path):
    array = submitted(tmp_path, ["sh", "-c", "kill -9 $$"])
    assert start(array, 1).wait(timeout=30) == 137
    assert marker(array, 1) == {"status": 137, "exit_code": -9, "signalled": ""}


@pytest.mark.parametrize("signum, asked", [(signal.SIGUSR1, True), (signal.SIGTERM, False)])
def test_a_signal_for_the_script_is_passed_on_as_sigterm_and_one_for_all_is_not(tmp_path, signum, asked):
    """The queue sends the second to the command itself; the task ends with its command either way."""
    array = submitted(tmp_path, ["bash", "-c", "trap 'echo asked; exit 143' TERM; touch began; sleep 2 & wait; exit 5"])
    task = start(array, 1)
    wait_for_file(tmp_path / "began")
    task.send_signal(signum)
    status = 143 if asked else 5
    assert task.wait(timeout=30) == status
    assert marker(array, 1) == {"status": status, "exit_code": status, "signalled": signum.name}
    assert ("asked" in (tmp_path / "log/x.3.log").read_text().splitlines()) == asked


def test_further_signals_do_not_cut_short_what_a_command_does_at_its_end(tmp_path):
    code = "trap 'sleep 1; echo saved; exit 143' TERM; touch began; sleep 60 & wait"
    array = submitted(tmp_path, ["bash", "-c", code])
    task = start(array, 1)
    wait_for_file(tmp_path / "began")
    for _ in range(3):
        task.send_signal(signal.SIGUSR1)
        time.sleep(0.2)
    assert task.wait(timeout=30) == 143
    assert "saved" in (tmp_path / "log/x.3.log").read_text().splitlines()


def test_when_the_task_is_killed_outright_its_command_ends_and_there_is_no_marker(tmp_path):
    array = submitted(tmp_path, ["sh", "-c", "echo $$ >pid; touch began; sleep 300"])
    task = start(array, 1)
    wait_for_file(tmp_path / "began")
    task.kill()
    task.wait(timeout=30)
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and ") Z" not in Path(f"/proc/{pid}/stat").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert list((array / "done").iterdir()) == []


def test_a_log_that_cannot_be_written_is_said_and_fails_the_task(tmp_path):
    array = submitted(tmp_path, ["true"])
    (tmp_path / "log").write_text("a file where the folder should be")
    task = start(array, 1)
    _, said = task.communicate(timeout=30)
    assert task.returncode == 1
    assert marker(array, 1)["reason"] == said.strip() == "log: File exists"


def test_a_marker_that_cannot_be_written_does_not_cost_the_status(tmp_path):
    array = submitted(tmp_path, ["sh", "-c", "rmdir array/done; touch array/done; exit 5"])
    task = start(array, 1)
    _, said = task.communicate(timeout=30)
    assert task.returncode == 5
    assert said == "array/done/1: Not a directory; the command ended with status 5\n".replace("array", str(array))


def test_a_task_of_a_submission_that_is_no_more_does_not_run(tmp_path):
    (tmp_path / "array").mkdir()
    task = start(tmp_path / "array", 1)
    _, said = task.communicate(timeout=30)
    assert task.returncode == 1
    assert "this submission is no more" in said
    assert not (tmp_path / "log").exists()


def test_the_node_that_fails_first_decides_the_status(tmp_path):
    """What starts a command on several nodes ends the others, and gives the status of any."""
    array = submitted(tmp_path, ["true"], launcher=["sh", "-c", 'ln -s 7 "$SPK_FIRST_STATUS"; exit 143'])
    assert start(array, 1).wait(timeout=30) == 7
    assert marker(array, 1)["status"] == 7


def test_what_runs_on_other_nodes_is_told_to_stop_by_the_queues_command(tmp_path):
    code = "touch began; while [ ! -e told ]; do sleep 0.05; done; exit 143"
    array = submitted(tmp_path, ["sh", "-c", code], launcher=["env"], stop_command=["touch", "told"])
    task = start(array, 1)
    wait_for_file(tmp_path / "began")
    task.send_signal(signal.SIGUSR1)
    assert task.wait(timeout=30) == 143


def test_a_task_begins_quickly(tmp_path):
    """Nothing heavy is imported on the way to the command."""
    code = "import sys, spk.jobs.task; print(sorted({'numpy', 'torch', 'scipy', 'yaml'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ})
    assert done.stdout == "[]\n"
