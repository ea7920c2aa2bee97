"""utils/follow_log.sh: a step shows the lines of its job's log, all before its own last word, and leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# A job as the engines run it: the log of an earlier one is moved away.
STEP = f"""
set -euo pipefail
. {ROOT}/path.sh
. follow_log.sh
follow_log log/job.log '^step'
if [ -f log/job.log ]; then mv log/job.log log/job.log.1; fi
bash -c "$1" > log/job.log
stop_following
echo the end >&2
"""
JOB = 'for i in $(seq 1 2000); do echo "step $i"; echo "other $i"; done; printf "step last"'


def step(folder: Path, job: str) -> list[str]:
    return ["bash", "-c", STEP, os.fspath(folder / "step"), job]


def followers(folder: Path) -> list[str]:
    """Command lines of processes that follow a log in this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"spk.bin.follow_log" in words and (process / "cwd").resolve() == folder.resolve():
                found.append(" ".join(word.decode() for word in words))
        except OSError:
            pass
    return found


def wait_for(condition) -> bool:
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


@pytest.mark.parametrize("before", [None, "step of long ago\nstep of then\n"])
def test_all_lines_of_the_job_and_no_other_are_shown_before_the_step_says_that_it_is_done(tmp_path, before):
    if before is not None:
        (tmp_path / "log").mkdir()
        (tmp_path / "log/job.log").write_text(before)
    done = subprocess.run(step(tmp_path, JOB), cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert done.stderr.splitlines() == [*(f"step {number}" for number in range(1, 2001)), "step last", "the end"]
    assert not followers(tmp_path)


def test_a_failing_job_keeps_its_status_and_its_lines(tmp_path):
    done = subprocess.run(
        step(tmp_path, "echo step 1; exit 7"), cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (7, "step 1\n")


def test_lines_are_shown_while_the_job_runs(tmp_path):
    os.mkfifo(tmp_path / "go")
    running = subprocess.Popen(
        step(tmp_path, "echo step 1; read -r line < go; echo step 2"), cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    assert running.stderr.readline() == "step 1\n"
    (tmp_path / "go").write_text("\n")
    assert running.communicate(timeout=30)[1] == "step 2\nthe end\n"


def test_nothing_is_left_of_a_step_that_is_killed_and_one_that_ignores_sigterm_ends(tmp_path):
    running = subprocess.Popen(
        step(tmp_path, "echo step 1; sleep 60"), cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert running.stderr.readline() == "step 1\n" and followers(tmp_path)
    running.kill()
    running.wait()
    assert wait_for(lambda: not followers(tmp_path)), followers(tmp_path)
    os.killpg(running.pid, signal.SIGKILL)  # the job, which a step's own engine would have ended
    command = ["bash", "-c", 'trap "" TERM; exec "$@"', "step", *step(tmp_path, JOB)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stderr.endswith("step last\nthe end\n")
