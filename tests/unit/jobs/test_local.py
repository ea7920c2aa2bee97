"""The local engine: statuses, logs, limits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spk.errors import InputError
from spk.jobs.job import Job
from spk.jobs.local import Runner, run
from spk.jobs.spool import alone


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


def test_every_task_runs_with_its_own_log(tmp_path):
    job = Job(f"{tmp_path}/deep/log/x.JOB.log", python("import sys; print(sys.argv[1:])", "a JOB", "$(b)"), "JOB", 1, 5)
    assert run(job) == 0
    for task in range(1, 6):
        lines = (tmp_path / f"deep/log/x.{task}.log").read_text().splitlines()
        assert f"'a {task}' '$(b)'" in lines[0]
        assert lines[1].startswith("# Running on ") and lines[2].startswith("# Started at ") and lines[3] == "#"
        assert lines[4] == f"['a {task}', '$(b)']"
        assert lines[-1].startswith("# Ended (code 0) at ") and lines[-1].endswith(" seconds")


@pytest.mark.parametrize("status", [1, 3, 77, 126, 127, 128, 255])
def test_the_status_of_the_failed_task_is_the_status_of_the_job(tmp_path, status, capfd):
    job = Job(
        f"{tmp_path}/x.JOB.log", python(f"import sys; print('reason'); sys.exit({status} * (JOB == 2))"), "JOB", 1, 3
    )
    assert run(job) == status
    assert f"# Ended (code {status})" in (tmp_path / "x.2.log").read_text()
    error = capfd.readouterr().err
    assert f"run: task 2 of 3 failed with status {status}" in error
    assert "  reason\n" in error


@pytest.mark.parametrize("signum, status, name", [(9, 137, "SIGKILL"), (15, 143, "SIGTERM"), (40, 168, "signal 40")])
def test_a_task_killed_by_a_signal_gives_128_and_its_number(tmp_path, signum, status, name, capfd):
    job = Job(f"{tmp_path}/x.log", python(f"import os; os.kill(os.getpid(), {signum})"))
    assert run(job) == status
    assert f"failed with status {status} ({name})" in capfd.readouterr().err
    assert f"# Ended (code {status}; signal {signum})" in (tmp_path / "x.log").read_text()


def test_a_task_that_failed_is_started_again_so_often_as_asked(tmp_path, capfd):
    code = "echo attempt; echo >>ran.JOB; [ JOB != 2 ] || [ $(wc -l <ran.JOB) = 3 ]".replace("ran", f"{tmp_path}/ran")
    assert run(Job(f"{tmp_path}/x.JOB.log", ["sh", "-c", code], "JOB", 1, 3, retries=2)) == 0
    assert [(tmp_path / f"ran.{task}").read_text().count("\n") for task in (1, 2, 3)] == [1, 3, 1]
    assert "task 2 of 3 ended with status 1; started again (retry 2 of 2); what it said: " in capfd.readouterr().err
    assert sorted(path.name for path in tmp_path.glob("x.2.*")) == ["x.2.log", "x.2.log.1", "x.2.log.2"]
    assert run(Job(f"{tmp_path}/y.log", ["sh", "-c", "exit 4"], retries=2)) == 4


def test_a_task_that_was_stopped_is_started_again_only_with_requeue(tmp_path):
    command = ["sh", "-c", f"[ -e {tmp_path}/saved ] || {{ touch {tmp_path}/saved; kill -TERM $$; }}"]
    assert run(Job(f"{tmp_path}/x.log", command)) == 143
    (tmp_path / "saved").unlink()
    assert run(Job(f"{tmp_path}/x.log", command, requeue=True)) == 0
    assert run(Job(f"{tmp_path}/y.log", ["sh", "-c", "exit 143"], requeue=True)) == 143  # not for ever


def test_two_calls_with_one_log_do_not_run_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("spk.jobs.spool.LOCK_PATIENCE", 0.1)
    job = Job(f"{tmp_path}/x.log", ["true"])
    with alone(job):
        with pytest.raises(InputError, match=rf"x.log: process {os.getpid()} on \S+ runs this very job"):
            run(job)
        assert run(Job(f"{tmp_path}/y.log", ["true"])) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["y.log"]


def test_what_a_failed_attempt_left_running_is_ended_before_the_next(tmp_path):
    code = f"cd {tmp_path}; [ ! -e pid ] || exit 0; sleep 300 & echo $! >pid; exit 1"
    assert run(Job(f"{tmp_path}/x.log", ["sh", "-c", code], retries=1)) == 0
    stat = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
    deadline = time.monotonic() + 10
    while stat.exists() and ") Z" not in stat.read_text():
        assert time.monotonic() < deadline


def test_a_task_computes_with_the_threads_that_were_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    for resources in ({"num_threads": "2"}, {}):
        log = tmp_path / f"{len(resources)}.log"
        assert run(Job(str(log), ["sh", "-c", "echo $OMP_NUM_THREADS"], resources=resources)) == 0
    assert [(tmp_path / name).read_text().splitlines()[4] for name in ("1.log", "0.log")] == ["2", "7"]


def test_this_machine_is_one_node(tmp_path):
    code = "echo $SPK_NODE_RANK of $SPK_NUM_NODES at $SPK_MASTER:$SPK_MASTER_PORT"
    assert run(Job(f"{tmp_path}/x.log", ["sh", "-c", code], resources={"nodes": "1"})) == 0
    line = (tmp_path / "x.log").read_text().splitlines()[4]
    assert line.startswith(f"0 of 1 at {os.uname().nodename}:") and int(line.rpartition(":")[2]) > 1023
    with pytest.raises(InputError, match="--nodes 2: run knows this machine alone; give the job to utils/slurm"):
        run(Job("x", ["true"], resources={"nodes": "2"}))


def test_no_status_is_lost_among_many_short_tasks(tmp_path):
    """Each task that failed leaves a file; with one failure in the last of many tasks, none may pass as a success."""
    for _ in range(2):
        job = Job(f"{tmp_path}/x.JOB.log", ["sh", "-c", "exit $((JOB / 40))"], "JOB", 1, 40, max_jobs_run=16)
        assert run(job) == 1


def test_a_failure_stops_what_runs_and_begins_no_more(tmp_path, capfd):
    code = "import time, sys; time.sleep(0.3 if JOB == 2 else 60); sys.exit(5)"
    job = Job(f"{tmp_path}/x.JOB.log", python(code), "JOB", 1, 9, max_jobs_run=3)
    start = time.monotonic()
    assert run(job) == 5
    assert time.monotonic() - start < 30
    assert "2 stopped, 6 not begun" in capfd.readouterr().err
    assert "stopped: another task failed" in (tmp_path / "x.1.log").read_text()
    assert not (tmp_path / "x.4.log").exists()


def test_the_end_of_a_task_is_noticed_when_its_signal_is_lost(tmp_path):
    """A thread of the process that runs the job may swallow SIGCHLD."""
    runner = Runner(Job(f"{tmp_path}/x.JOB.log", python("raise SystemExit(JOB == 2)"), "JOB", 1, 2))
    runner.signals.remove(signal.SIGCHLD)
    runner.run()
    assert [(task.number, task.status) for task in runner.failed] == [(2, 1)]
    assert [task.exit_code for task in (*runner.failed, *runner.stopped)] == [1]


def test_a_call_that_was_stopped_and_continued_goes_on(tmp_path):
    """As by Ctrl-Z and fg, or by a queue that suspends what it runs."""
    start = (
        f"from spk.jobs.local import run; from spk.jobs.job import Job; run(Job('{tmp_path}/x.log', ['sleep', '3']))"
    )
    process = subprocess.Popen([sys.executable, "-c", start])
    deadline = time.monotonic() + 60
    while not (tmp_path / "x.log").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGSTOP)
    time.sleep(1.5)
    process.send_signal(signal.SIGCONT)
    assert process.wait(60) == 0
    assert "# Ended (code 0)" in (tmp_path / "x.log").read_text()


def test_a_command_that_does_not_exist_is_named(tmp_path, capfd):
    assert run(Job(f"{tmp_path}/x.JOB.log", ["no-such-program", "a"], "JOB", 1, 2, max_jobs_run=1)) == 127
    assert "no-such-program: no such command" in capfd.readouterr().err
    assert not (tmp_path / "x.2.log").exists()


def test_a_file_that_cannot_be_executed_is_named(tmp_path, capfd):
    (tmp_path / "plain").write_text("x")
    assert run(Job(f"{tmp_path}/x.log", [f"{tmp_path}/plain"])) == 126
    assert "plain: Permission denied" in capfd.readouterr().err


def test_the_end_of_a_long_log_is_shown_and_a_progress_bar_only_in_its_last_state(tmp_path, capfd):
    code = r"print(*range(1000), sep='\n'); print('10%\r50%\r90%'); raise SystemExit(1)"
    assert run(Job(f"{tmp_path}/x.log", python(code))) == 1
    shown = capfd.readouterr().err.splitlines()
    assert "  999" in shown and "  90%" in shown and "  900" not in shown


def test_no_more_tasks_run_at_once_than_asked(tmp_path):
    """50 tasks write when they began and ended; a sweep over these times counts how many ran at once."""
    code = "import time; start = time.monotonic(); time.sleep(0.02); print('SPAN', start, time.monotonic())"
    job = Job(f"{tmp_path}/x.JOB.log", python(code), "JOB", 1, 50, max_jobs_run=4)
    assert run(job) == 0
    events = []
    for task in range(1, 51):
        span = next(line for line in (tmp_path / f"x.{task}.log").read_text().splitlines() if line.startswith("SPAN"))
        start, end = map(float, span.split()[1:])
        events += [(start, 1), (end, -1)]
    running = most = 0
    for _, change in sorted(events):
        running += change
        most = max(most, running)
    assert 2 <= most <= 4


def test_threads_and_memory_lower_the_number_of_tasks_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("spk.jobs.local.ROOT", tmp_path)
    for name in ("SLURM_CPUS_PER_TASK", "NSLOTS", "SLURM_MEM_PER_NODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PHYS_PAGES": 2**23, "SC_PAGE_SIZE": 2**12}[name])  # 32 GB

    def limit(max_jobs_run: int | None = None, **resources: str) -> int:
        return Runner(Job("x.JOB.log", ["true"], "JOB", 1, 99, resources, max_jobs_run)).limit

    assert limit() == 16
    assert limit(num_threads="4") == 4
    assert limit(mem="4G") == 8
    assert limit(mem="500M") == 16
    assert limit(mem="64G") == 1
    assert limit(max_jobs_run=20, mem="64G", num_threads="4") == 20
    # Within a job of a queue, or a container.
    monkeypatch.setenv("NSLOTS", "6")
    assert limit() == 6
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "4")
    assert limit() == 4
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "12288")
    assert limit(mem="4G") == 3
    for file, text in [("proc/self/cgroup", "0::/job\n"), ("sys/fs/cgroup/job/memory.max", f"{2**33}\n")]:
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).write_text(text)
    assert limit(mem="4G") == 2


def test_tasks_take_turns_on_the_gpus(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-a,5")
    code = "import os, time; time.sleep(0.1); print('GPU', os.environ['CUDA_VISIBLE_DEVICES'])"
    job = Job(f"{tmp_path}/x.JOB.log", python(code), "JOB", 1, 6, {"gpu": "1"}, max_jobs_run=9)
    assert Runner(job).limit == 3
    assert run(job) == 0
    text = "".join((tmp_path / f"x.{task}.log").read_text() for task in range(1, 7))
    assert {line.split()[1] for line in text.splitlines() if line.startswith("GPU")} == {"3", "GPU-a", "5"}
    with pytest.raises(InputError, match="--gpu 4: this machine offers 3"):
        Runner(Job("x", ["true"], resources={"gpu": "4"}))


def test_a_task_reads_nothing_and_keeps_no_signal_blocked(tmp_path):
    code = "import signal, sys; print('IN', repr(sys.stdin.read()), signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
    assert run(Job(f"{tmp_path}/x.log", python(code))) == 0
    assert "IN '' set()" in (tmp_path / "x.log").read_text()
