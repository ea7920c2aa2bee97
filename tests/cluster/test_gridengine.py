"""utils/gridengine on a real GridEngine: whatever becomes of a task, the call says so, and ends."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster.gridengine_cluster import GridEngine

ROOT = Path(__file__).resolve().parents[2]
COMMAND = ROOT / "utils" / "gridengine"
# Notes when it begins and that it was told to stop, then ends as training does.
STOPS = 'trap "echo told to stop; exit 143" TERM; echo begun; for i in {1..600}; do sleep 0.1; done'


class Caller:
    """Calls utils/gridengine in one folder."""

    def __init__(self, cluster: GridEngine, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        self.started: list[subprocess.Popen[str]] = []
        folder.mkdir(parents=True)

    def close(self) -> None:
        for process in self.started:
            process.kill()
            process.communicate()

    def __call__(self, *words: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return self.cluster.run(COMMAND, *words, cwd=self.folder, timeout=timeout)

    def start(self, *words: object) -> subprocess.Popen[str]:
        self.started.append(self.cluster.start(COMMAND, *words, cwd=self.folder))
        return self.started[-1]

    def log(self, name: str) -> str:
        path = self.folder / "log" / name
        return path.read_text() if path.exists() else ""

    def await_log(self, name: str, text: str) -> None:
        await_it(lambda: text in self.log(name), f"{name} has {text!r}")


def await_it(happened: Callable[[], object], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def ended(process: subprocess.Popen[str], timeout: float = 60) -> tuple[int, str]:
    _, stderr = process.communicate(timeout=timeout)
    return process.returncode, stderr


@pytest.fixture
def caller(gridengine, tmp_path) -> Caller:
    caller = Caller(gridengine, tmp_path / "work")
    yield caller
    caller.close()
    try:
        # GridEngine learns of a task's end a moment after we do.
        gridengine.await_queue(lambda lines: not lines, 10)
    finally:
        gridengine.clear()


def test_tasks_have_logs_in_the_form_of_the_local_engine(caller):
    done = caller(
        "--num-threads=2", "--mem=100M", "--time=0-00:01:00", "JOB=3:5", "log/a.JOB.log", "echo", "number", "JOB"
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = caller.log("a.4.log").splitlines()
    assert lines[0] == "# echo number 4"
    assert [line.split(" ")[1] for line in lines[1:3]] == ["Running", "Started"]
    assert lines[4] == "number 4"
    assert re.fullmatch(r"# Accounting: time=\d+ threads=2", lines[5])
    assert re.fullmatch(r"# Ended \(code 0\) at .*, elapsed time \d+ seconds", lines[6])
    assert not caller.log("a.1.log")


@pytest.mark.parametrize("status", [3, 99, 100])
def test_the_status_of_a_task_is_that_of_the_call_even_if_gridengine_has_a_meaning_for_it(caller, status):
    done = caller("JOB=1:3", "log/a.JOB.log", "bash", "-c", f"echo from JOB; exit $((JOB == 2 ? {status} : 0))")
    assert done.returncode == status
    assert f"gridengine: task 2 of 3 failed with status {status}; its log: log/a.2.log" in done.stderr
    assert "\n  from 2\n" in done.stderr


def test_a_command_that_is_killed(caller):
    done = caller("log/a.log", "bash", "-c", "kill -KILL $$")
    assert done.returncode == 137
    assert "failed with status 137 (SIGKILL)" in done.stderr


def test_a_whole_task_that_is_killed_with_what_runs_it(caller):
    process = caller.start("JOB=1:2", "log/a.JOB.log", "bash", "-c", STOPS)
    caller.await_log("a.2.log", "begun")
    kill_task(caller.cluster, 2)
    status, stderr = ended(process)
    assert status == 137
    assert "task 2 of 2 failed with status 137: killed" in stderr
    assert "1 stopped, 0 not begun" in stderr


def kill_task(cluster: GridEngine, index: int) -> None:
    """SIGKILL to every process of the tasks with this index."""
    for pid in cluster.administer("ip", "netns", "pids", cluster.env["SPK_GRIDENGINE"]).split():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            if f"\0SGE_TASK_ID={index}\0".encode() in Path(f"/proc/{pid}/environ").read_bytes():
                os.kill(int(pid), signal.SIGKILL)


def test_a_task_over_its_time_is_told_to_stop_and_fails(caller):
    done = caller("--time=0:00:03", "log/a.log", "bash", "-c", STOPS)
    assert done.returncode == 143
    assert "over its time limit" in done.stderr
    assert "--time" in done.stderr
    assert "told to stop" in caller.log("a.log")


def test_a_task_over_its_time_that_does_not_listen_is_killed(caller):
    done = caller("--time=0:00:02", "log/a.log", "bash", "-c", 'trap "" TERM; while true; do sleep 0.1; done')
    assert done.returncode == 143
    assert "over its time limit" in done.stderr


MEMORY = "option mem=* -l h_vmem=$0\n"
TAKE = "import time; taken = []\nfor _ in range(40): taken.append(b'x' * 50_000_000); time.sleep(0.05)"


def test_memory_that_one_process_cannot_have_is_its_own_failure(caller):
    (caller.folder / "site.conf").write_text(MEMORY)
    done = caller("--config=site.conf", "--mem=800M", "log/a.log", "python3", "-c", TAKE)
    assert done.returncode == 1
    assert "MemoryError" in done.stderr


def test_a_task_whose_processes_together_are_over_its_memory_is_killed_and_said_to_be(caller):
    (caller.folder / "site.conf").write_text(MEMORY)
    take = TAKE.replace("40", "10") + "\ntime.sleep(20)"
    both = 'python3 -c "$1" & python3 -c "$1" & python3 -c "$1" & wait'
    site = ["--config=site.conf", "--requeue=true"]
    done = caller(*site, "--mem=800M", "log/a.log", "bash", "-c", both, "bash", take)
    assert done.returncode in (137, 143)  # it is told to stop before it is killed, and may listen
    assert "out of memory" in done.stderr
    assert "--mem" in done.stderr


def test_a_task_cancelled_by_someone_while_it_runs(caller):
    process = caller.start("--requeue=true", "--retries=2", "JOB=1:2", "log/a.JOB.log", "bash", "-c", STOPS)
    caller.await_log("a.1.log", "begun")
    caller.cluster.administer("qdel", job_of(caller), "-t", 1)
    status, stderr = ended(process)
    assert status == 143
    assert "task 1 of 2 failed with status 143: cancelled by qdel" in stderr


def test_tasks_cancelled_by_someone_while_they_wait(caller):
    process = caller.start("--max-jobs-run=1", "--retries=2", "JOB=1:3", "log/a.JOB.log", "bash", "-c", STOPS)
    caller.await_log("a.1.log", "begun")
    caller.cluster.administer("qdel", job_of(caller), "-t", 2)
    status, stderr = ended(process)
    assert status == 143
    assert "task 2 of 3 failed with status 143: cancelled by qdel while it waited; it has no log" in stderr


def test_a_task_that_is_suspended_is_said_and_goes_on(caller):
    """Before it is suspended it gets SIGUSR1, which is no reason to end without --requeue."""
    process = caller.start("log/a.log", "bash", "-c", f"{STOPS.replace('600', '60')}; echo well")
    caller.await_log("a.log", "begun")
    job = job_of(caller)
    caller.cluster.administer("qmod", "-sj", job)
    assert "a task that had begun is suspended (s)" in process.stderr.readline()
    caller.cluster.administer("qmod", "-usj", job)
    assert ended(process) == (0, "")
    assert caller.log("a.log").splitlines()[4:-2] == ["begun", "well"]


def test_many_tasks_that_are_cancelled_at_once_are_said_soon(caller):
    process = caller.start("JOB=1:300", "log/a.JOB.log", "bash", "-c", STOPS)
    caller.await_log("a.1.log", "begun")
    caller.cluster.administer("qdel", job_of(caller))
    status, stderr = ended(process)
    assert status == 143
    assert "cancelled by qdel" in stderr and " more failed: tasks " in stderr


def job_of(caller: Caller) -> str:
    """The number of the one job in the queue."""
    (number,) = {line.split()[0] for line in caller.cluster.await_queue(bool)}
    return number


def test_a_queue_in_error_is_said_at_once_and_waited_for(caller):
    caller.cluster.break_queue()
    process = caller.start("log/a.log", "echo", "ran")
    first = process.stderr.readline()
    assert "queue all.q@" in first
    assert "is in error" in first
    assert "marked QERROR" in first
    caller.cluster.mend_queue()
    assert ended(process) == (0, "")


def test_a_disabled_queue_is_said_too(caller):
    caller.cluster.administer("qmod", "-d", "all.q")
    process = caller.start("log/a.log", "echo", "ran")
    assert "is disabled" in process.stderr.readline()
    caller.cluster.administer("qmod", "-e", "all.q")
    assert ended(process) == (0, "")


def test_a_job_held_by_someone_is_said(caller):
    (caller.folder / "site.conf").write_text("command qsub -h\n")
    process = caller.start("--config=site.conf", "log/a.log", "echo", "ran")
    assert "held" in process.stderr.readline()
    caller.cluster.administer("qalter", "-h", "U", job_of(caller))
    assert ended(process) == (0, "")


def test_a_folder_that_the_node_does_not_have_fails_the_job_with_the_reason(caller):
    mount = 'mount -t tmpfs tmpfs "$1"; mkdir "$1/own"; cd "$1/own"; shift; exec "$@"'
    mounted = ["unshare", "--mount", "bash", "-ec", mount, "bash", caller.folder]
    done = caller.cluster.run(*mounted, COMMAND, "JOB=1:3", "log/a.JOB.log", "true")
    assert done.returncode == 1
    assert "it can never run" in done.stderr
    assert f"Eqw: can't chdir to {caller.folder}/own: No such file or directory" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--gpu=3"], "no suitable queues"),
        (["--num-threads=9"], "no suitable queues"),
        (["--mem=90000G"], "the largest machine of this cluster has"),
        (["--config=site.conf", "--mem=99G"], "no suitable queues"),
        (["--config=site.conf", "--gpu=1"], 'unknown queue "gpu.q"'),
        (["--config=site.conf", "--num-threads=2"], '"many" does not exist'),
        (["--nodes=2"], "gridengine gives a task one machine"),
        (["--config=none.conf"], "none.conf: no such file"),
    ],
)
def test_what_cannot_be_had_is_refused_at_once(caller, options, words):
    site = MEMORY + "option gpu=* -l gpu=$0 -q gpu.q\noption num_threads=* -pe many $0\n"
    (caller.folder / "site.conf").write_text(site)
    done = caller(*options, "JOB=1:2", "log/a.JOB.log", "true")
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.startswith("gridengine: error: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_request_that_can_be_had_of_measured_memory_and_counted_gpus_is_taken(caller):
    (caller.folder / "conf").mkdir()
    kaldi = [
        "# Kaldi's queue.conf",
        "command qsub -v PATH -cwd -S /bin/bash -j y -l arch=*64*",
        "option mem=* -l mem_free=$0,ram_free=$0",
        "option mem=0          # Do not add anything to qsub_opts",
        "option num_threads=* -pe smp $0",
        "option num_threads=1  # Do not add anything to qsub_opts",
        "option max_jobs_run=* -tc $0",
        "default gpu=0",
        "option gpu=0",
        "option gpu=* -l gpu=$0 -q all.q",
    ]
    (caller.folder / "conf" / "gridengine.conf").write_text("\n".join(kaldi) + "\n")
    done = caller("--mem=1.5G", "--gpu=1", "--num-threads=2", "--max-jobs-run=2", "JOB=1:2", "log/a.JOB.log", "true")
    assert (done.returncode, done.stderr) == (0, "")
    assert caller("--mem=0", "log/a.log", "true").returncode != 0  # without a unit
    assert caller("--gpu=0", "log/a.log", "true").returncode == 0


def test_who_may_not_submit_is_told_so(caller):
    caller.folder.chmod(0o777)
    for folder in caller.folder.parents:
        folder.chmod(folder.stat().st_mode | 0o055)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    done = caller.cluster.run(*nobody, COMMAND, "log/a.log", "true", cwd=caller.folder)
    assert done.returncode == 1
    assert "refused the job: job rejected: nobody@" in done.stderr
    host = os.uname().nodename
    caller.cluster.administer("qconf", "-ds", host)
    try:
        done = caller("log/b.log", "true")
    finally:
        caller.cluster.administer("qconf", "-as", host)
    assert done.returncode == 1
    assert "is no submit host" in done.stderr or "is not a submit host" in done.stderr


def test_of_many_tasks_never_more_than_4_run_at_once(caller):
    (caller.folder / "now").mkdir()
    count = "mkdir now/JOB; sleep 0.3; ls now | wc -l >>most; rmdir now/JOB"
    done = caller("--max-jobs-run=4", "JOB=1:24", "log/a.JOB.log", "bash", "-c", count)
    assert (done.returncode, done.stderr) == (0, "")
    counted = [int(line) for line in (caller.folder / "most").read_text().split()]
    assert len(counted) == 24
    assert 2 <= max(counted) <= 4


def test_more_tasks_than_an_array_may_have_are_cut_into_several(caller):
    caller.cluster.set_global("max_aj_tasks", 3)
    try:
        done = caller("TASK=11:18", "log/a.TASK.log", "bash", "-c", "echo $JOB_ID TASK >>jobs")
    finally:
        caller.cluster.set_global("max_aj_tasks", 75000)
    assert (done.returncode, done.stderr) == (0, "")
    jobs = [line.split() for line in (caller.folder / "jobs").read_text().splitlines()]
    assert sorted(int(task) for _, task in jobs) == list(range(11, 19))
    assert len({job for job, _ in jobs}) == 3


@pytest.mark.parametrize(("signum", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_call_that_is_told_to_stop_cancels_what_it_submitted(caller, signum, expected):
    process = caller.start("--max-jobs-run=2", "JOB=1:5", "log/a.JOB.log", "bash", "-c", STOPS)
    caller.await_log("a.1.log", "begun")
    caller.await_log("a.2.log", "begun")
    process.send_signal(signum)
    status, stderr = ended(process)
    assert status == expected
    assert stderr == f"gridengine: ended by {signum.name}; 2 stopped, 3 not begun\n"
    assert caller.cluster.queue() == []
    assert "told to stop" in caller.log("a.1.log")


def test_what_a_killed_call_left_in_the_queue_is_cancelled_by_the_next(caller):
    process = caller.start("JOB=1:2", "log/a.JOB.log", "bash", "-c", f"echo first; {STOPS}")
    caller.await_log("a.2.log", "begun")
    process.kill()
    ended(process)
    assert len(caller.cluster.queue()) == 2
    again = caller("JOB=1:2", "log/a.JOB.log", "echo", "second")
    assert again.returncode == 0
    assert "cancelling what an earlier call of this job left in the queue" in again.stderr
    assert caller.log("a.1.log").splitlines()[4:-2] == ["second"]


def test_a_failed_task_alone_is_tried_again(caller):
    flaky = "echo JOB >>runs; echo try; [ JOB != 2 ] || [ $(grep -c 2 runs) = 3 ]"
    done = caller("--retries=2", "JOB=1:3", "log/a.JOB.log", "bash", "-c", flaky)
    assert done.returncode == 0, done.stderr
    assert sorted((caller.folder / "runs").read_text().split()) == ["1", "2", "2", "2", "3"]
    assert "task 2 of 3 ended with status 1; started again (retry 2 of 2); what it said: log/a.2.log.2" in done.stderr
    assert "try" in caller.log("a.2.log.1")


def test_a_task_that_was_stopped_is_submitted_again_with_requeue(caller):
    once = f"if [ -e seen ]; then echo done; else touch seen; {STOPS}; fi"
    done = caller("--requeue=true", "--time=0:00:03", "log/a.log", "bash", "-c", once)
    assert done.returncode == 0, done.stderr
    assert "over its time limit" in done.stderr
    assert "(requeue 1)" in done.stderr
    assert "done" in caller.log("a.log")


def test_status_143_is_a_failure_without_requeue_and_a_request_with_it(caller):
    once = "if [ -e seen ]; then echo done; else touch seen; exit 143; fi"
    assert caller("log/a.log", "bash", "-c", once).returncode == 143
    (caller.folder / "seen").unlink()
    assert caller("--requeue=true", "log/a.log", "bash", "-c", once).returncode == 0


@pytest.mark.parametrize("name", ["with blanks and 'quotes\" $HOME", "colon:comma,percent%"])
def test_names_may_hold_anything(gridengine, tmp_path, name):
    caller = Caller(gridengine, tmp_path / name)
    word = "a 'b\" $HOME `c` \\ * é"
    done = caller("JOB=1:2", f"log/{name}.JOB.log", "echo", word)
    assert (done.returncode, done.stderr) == (0, "")
    assert caller.log(f"{name}.2.log").splitlines()[4] == word


def test_a_master_that_does_not_answer_is_waited_for(caller):
    process = caller.start("log/a.log", "bash", "-c", "sleep 6")
    caller.await_log("a.log", "#")
    caller.cluster.stop_master()
    assert "the queue does not answer" in process.stderr.readline()
    caller.cluster.start_master()
    assert ended(process)[0] == 0
    caller.cluster.bring_up()  # the old one would need a while to find its nodes again
