"""utils/run from the command line: interrupts, kills, and nothing left running."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

# A task with a child of its own, which outlives the end of its parent; both note their process ids.
TASK = "sleep 300 & echo $! >child.JOB; echo $$ >task.JOB; wait"
# The same, deaf to requests.
DEAF_TASK = "trap '' TERM INT HUP; (while :; do sleep 1; done) & echo $! >child.JOB; echo $$ >task.JOB; wait; sleep 300"


def hear_all_signals() -> None:
    """In the child: what the tests' own caller ignores (nohup, a background job) is not ignored."""
    for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_DFL)


def start(root: Path, folder: Path, *words: str, **keywords) -> subprocess.Popen[str]:
    """Start utils/run in a session of its own, so that the whole group can be interrupted as a terminal does it."""
    keywords.setdefault("preexec_fn", hear_all_signals)
    return subprocess.Popen(
        [str(root / "utils" / "run"), *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **keywords,
    )


def wait_until(condition, seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def noted_processes(folder: Path, names: list[str]) -> list[int]:
    """The process ids that the tasks have noted, once all have."""
    files = [folder / name for name in names]
    assert wait_until(lambda: all(file.exists() and file.read_text().strip() for file in files))
    return [int(file.read_text()) for file in files]


def alive(process: int) -> bool:
    """Does it run? (A zombie that nobody has collected does not.)"""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


@pytest.mark.parametrize("signum, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("to_the_group", [True, False])
def test_an_interrupt_ends_all_tasks_and_their_children(root, tmp_path, signum, status, to_the_group):
    runner = start(root, tmp_path, "--max-jobs-run", "2", "JOB=1:4", "log/x.JOB.log", "bash", "-c", TASK)
    processes = noted_processes(tmp_path, ["task.1", "task.2", "child.1", "child.2"])
    (os.killpg if to_the_group else os.kill)(runner.pid, signum)
    _, error = runner.communicate(timeout=30)
    assert runner.returncode == status
    assert not any(map(alive, processes))
    assert f"run: ended by {signum.name}; 2 stopped, 2 not begun" in error
    assert f"stopped: {signum.name}" in (tmp_path / "log/x.1.log").read_text()
    assert not (tmp_path / "task.3").exists()


def test_tasks_that_ignore_the_request_are_killed_at_the_second_interrupt(root, tmp_path):
    runner = start(root, tmp_path, "JOB=1:1", "log/x.JOB.log", "bash", "-c", DEAF_TASK)
    processes = noted_processes(tmp_path, ["task.1", "child.1"])
    start_time = time.monotonic()
    runner.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert all(map(alive, processes))
    runner.send_signal(signal.SIGINT)
    runner.communicate(timeout=30)
    assert runner.returncode == 130
    assert time.monotonic() - start_time < 4  # less than the grace
    assert wait_until(lambda: not any(map(alive, processes)), 2)


def test_tasks_that_ignore_the_request_are_killed_after_the_grace(root, tmp_path):
    runner = start(
        root,
        tmp_path,
        "--max-jobs-run",
        "2",
        "JOB=1:2",
        "log/x.JOB.log",
        "bash",
        "-c",
        f"[ JOB = 2 ] || {{ {DEAF_TASK}; }}; sleep 1; exit 4",
    )
    processes = noted_processes(tmp_path, ["task.1", "child.1"])
    runner.communicate(timeout=60)
    assert runner.returncode == 4
    assert wait_until(lambda: not any(map(alive, processes)), 2)


def test_what_a_failed_task_left_behind_is_ended(root, tmp_path):
    runner = start(root, tmp_path, "log/x.log", "bash", "-c", "sleep 300 & echo $! >child; exit 3")
    runner.communicate(timeout=30)
    assert runner.returncode == 3
    assert not any(map(alive, noted_processes(tmp_path, ["child"])))


@pytest.mark.parametrize("task", [TASK, DEAF_TASK])
def test_when_the_runner_is_killed_outright_its_tasks_end_too(root, tmp_path, task):
    runner = start(root, tmp_path, "--max-jobs-run", "2", "JOB=1:2", "log/x.JOB.log", "bash", "-c", task)
    processes = noted_processes(tmp_path, ["task.1", "task.2", "child.1", "child.2"])
    os.killpg(runner.pid, signal.SIGKILL)
    runner.communicate(timeout=30)  # its output ends with it: nobody else holds it open
    assert runner.returncode == -signal.SIGKILL
    assert wait_until(lambda: not any(map(alive, processes)), 20)


def test_an_interrupt_reaches_a_runner_that_a_script_started_in_the_background(root, tmp_path):
    """There bash has SIGINT ignored for it."""
    script = f'"{root}/utils/run" log/x.log bash -c "$1" & wait $!'
    shell = subprocess.Popen(["bash", "-c", script, "bash", TASK], cwd=tmp_path, start_new_session=True)
    processes = noted_processes(tmp_path, ["task.JOB", "child.JOB"])
    os.killpg(shell.pid, signal.SIGINT)
    shell.wait(timeout=30)
    assert wait_until(lambda: not any(map(alive, processes)))


def test_nohup_is_respected(root, tmp_path):
    words = ["log/x.log", "bash", "-c", "touch begun; sleep 1"]
    runner = start(root, tmp_path, *words, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert wait_until((tmp_path / "begun").exists)
    runner.send_signal(signal.SIGHUP)
    runner.communicate(timeout=30)
    assert runner.returncode == 0


def test_a_parent_that_ignores_its_children_does_not_cost_a_status(root, tmp_path):
    runner = start(
        root,
        tmp_path,
        "log/x.log",
        "sh",
        "-c",
        "exit 6",
        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
    )
    runner.communicate(timeout=30)
    assert runner.returncode == 6


def test_stages_stop_at_a_failed_job(shell, tmp_path):
    result = shell('set -e; run JOB=1:3 log/x.JOB.log bash -c "exit JOB" ; touch next')
    assert result.returncode in (1, 2, 3)
    assert not (tmp_path / "next").exists()


def test_words_reach_the_command_as_they_are(shell, tmp_path):
    words = ["a b", "", "$(touch pwned)", "`touch pwned`", "'", '"', "\\", "*", "two\nlines", "é"]
    result = shell('run log/x.log printf "<%s>" "$@"', *words, check=True)
    assert result.stdout == ""
    assert "".join(f"<{word}>" for word in words) in (tmp_path / "log/x.log").read_text()
    assert not (tmp_path / "pwned").exists()


def test_it_works_without_path_sh_and_from_any_folder(root, tmp_path):
    result = subprocess.run(
        [str(root / "utils" / "run"), "log/x.log", "echo", "here"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "\nhere\n" in (tmp_path / "log/x.log").read_text()


def test_a_full_disk_is_said_and_no_task_is_lost(shell, tmp_path):
    """/dev/full refuses every byte."""
    (tmp_path / "log").symlink_to("/dev")
    result = shell("run log/full true")
    assert result.returncode == 1
    assert "the disk is full" in result.stderr


@pytest.mark.parametrize("line", ["run --help", "run -h"])
def test_help(shell, line):
    result = shell(line)
    assert result.returncode == 0
    assert "Usage: run [options]" in result.stdout
