"""What all cluster engines share, on a queue that does what each test needs of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from spk.errors import InputError
from spk.jobs.cluster import Array, Ending, Follower, QueueFull, QueueSilent, State, script_text
from spk.jobs.job import Job
from spk.jobs.local import run as run_here
from spk.jobs.messages import Failure, report
from spk.jobs.spool import spool_folder


class PretendQueue:
    """Decides the fate of each task when it is submitted: `fate(task, attempt)`, attempt from 1.

    A number: it ends with this status. 'gone': it leaves no marker. 'late': its marker appears at the third question
    after it has gone. 'recorded': it leaves none, and the queue knows its status, 143. 'cancelled', 'over time',
    'killed': gone, and why is known. 'never', 'blocked', 'running': its state.
    """

    name = "pretend"
    index_variable = "INDEX"
    signals_for_script = ("SIGUSR1",)
    stop_launched = ()

    def __init__(self, fate: Callable[[int, int], int | str], most: int = 1000) -> None:
        self.fate, self.most = fate, most
        self.arrays: dict[str, list[int]] = {}
        self.folders: dict[str, Path] = {}
        self.fates: dict[tuple[str, int], int | str] = {}
        self.attempts: dict[int, int] = {}
        self.cancelled: list[str] = []
        self.silent = 0  # so many calls go unanswered
        self.questions = 0

    def answer(self) -> None:
        if self.silent:
            self.silent -= 1
            raise QueueSilent("no route to the queue")

    def submit(self, script: Path, num_tasks: int, job: Job) -> str:
        self.answer()
        id = str(len(self.arrays) + 1)
        tasks = json.loads((script.parent / "job.json").read_text())["tasks"]
        assert len(tasks) == num_tasks <= self.most
        self.arrays[id], self.folders[id] = tasks, script.parent
        for index, task in enumerate(tasks, start=1):
            self.attempts[task] = self.attempts.get(task, 0) + 1
            fate = self.fates[id, index] = self.fate(task, self.attempts[task])
            if isinstance(fate, int):
                self.mark(id, index, fate)
        return id

    def mark(self, id: str, index: int, status: int, signalled: str = "") -> None:
        marker = {"status": status, "exit_code": status, "signalled": signalled}
        (self.folders[id] / "done" / str(index)).write_text(json.dumps(marker))

    def find(self, name: str) -> list[str]:
        self.answer()
        return [id for id, folder in self.folders.items() if folder.name == name and id not in self.cancelled]

    def states(self, ids: list[str]) -> dict[tuple[str, int], State]:
        self.answer()
        self.questions += 1
        states = {}
        for (id, index), fate in self.fates.items():
            if id in ids and id not in self.cancelled and fate in ("never", "blocked", "running"):
                states[id, index] = State(str(fate), f"reason {fate}")
            if fate == "late" and self.questions >= 3:
                self.mark(id, index, 0)
        return states

    def cancel(self, ids: list[str]) -> None:
        self.answer()
        self.cancelled += ids

    def why_gone(self, id: str, index: int) -> Ending:
        known = {
            "cancelled": Ending("cancelled by a person"),
            "over time": Ending("over its time limit"),
            "killed": Ending("killed"),
            "late": Ending("exit status 3", 3),
            "recorded": Ending("", 143),
        }
        return known.get(str(self.fates[id, index]), Ending())

    def max_array(self) -> int:
        return self.most

    def launcher(self, job: Job) -> list[str]:
        return []


def follower(queue: PretendQueue, tasks: int = 4, **options) -> Follower:
    """Of a job log/x.JOB.log in the current folder; quick to ask and to lose patience."""
    follower = Follower(Job("log/x.JOB.log", ["make", "JOB"], "JOB", 1, tasks, **options), queue)
    follower.marker_seconds, follower.queue_seconds, follower.patience = (0.005, 0.01), (0.01, 0.02), 0.3
    follower.submit_seconds, follower.submit_pause = (0.01, 0.02), 0.01
    return follower


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_job_ends_when_all_its_tasks_have_left_markers_and_leaves_nothing_behind(tmp_path):
    queue = PretendQueue(lambda task, attempt: 0)
    assert follower(queue).run() == 0
    assert queue.arrays == {"1": [1, 2, 3, 4]}
    assert list((tmp_path / "log").iterdir()) == []


def test_the_status_is_that_of_the_task_that_failed_and_the_rest_is_cancelled(capsys):
    queue = PretendQueue(lambda task, attempt: 7 if task == 3 else "running")
    assert follower(queue).run() == 7
    assert queue.cancelled == ["1"]
    assert "pretend: task 3 of 4 failed with status 7; it has no log" in capsys.readouterr().err


def test_many_failures_are_named_in_few_lines(capsys):
    assert follower(PretendQueue(lambda task, attempt: 0 if task == 9 else 2), tasks=20).run() == 2
    said = capsys.readouterr().err.splitlines()
    assert said[4].startswith("pretend: task 5 of 20 failed with status 2")
    assert said[5] == "pretend: 14 more failed: tasks 6-8, 10-20"


def test_a_marker_that_appears_after_the_task_has_gone_counts():
    assert follower(PretendQueue(lambda task, attempt: "late" if task == 2 else 0)).run() == 0


def test_a_task_that_goes_without_a_marker_has_failed(capsys):
    assert follower(PretendQueue(lambda task, attempt: "gone" if task == 2 else 0)).run() == 137
    said = capsys.readouterr().err
    assert "task 2 of 4 failed with status 137: it is gone from the queue and left no status" in said


def test_of_a_task_that_goes_without_a_marker_the_status_is_that_of_the_queues_record():
    queue = PretendQueue(lambda task, attempt: "recorded" if task == 2 and attempt == 1 else 0)
    assert follower(queue).run() == 143
    queue = PretendQueue(lambda task, attempt: "recorded" if task == 2 and attempt == 1 else 0)
    assert follower(queue, requeue=True).run() == 0


@pytest.mark.parametrize(
    "fate, status, words",
    [
        ("cancelled", 143, "cancelled by a person"),
        ("over time", 143, "over its time limit"),
        ("killed", 137, "killed"),
        ("never", 1, "it can never run: reason never"),
    ],
)
def test_what_the_queue_knows_of_the_end_of_a_task_is_said(capsys, fate, status, words):
    queue = PretendQueue(lambda task, attempt: fate if task == 2 else 0)
    assert follower(queue).run() == status
    assert f"task 2 of 4 failed with status {status}: {words}; " in capsys.readouterr().err
    assert (queue.cancelled == ["1"]) == (fate == "never")  # it would stay in the queue for ever


def test_the_queue_tells_why_a_task_was_stopped_that_left_a_marker(capsys):
    queue = PretendQueue(lambda task, attempt: "cancelled")
    following = follower(queue, tasks=1, requeue=True, retries=5)
    submit = queue.submit

    def submit_and_stop(*arguments) -> str:
        id = submit(*arguments)
        queue.mark(id, 1, 143, "SIGTERM")
        return id

    queue.submit = submit_and_stop
    assert following.run() == 143
    assert "failed with status 143: cancelled by a person" in capsys.readouterr().err
    assert queue.attempts == {1: 1}


def test_only_what_failed_is_submitted_again_and_so_often_as_asked(capsys):
    queue = PretendQueue(lambda task, attempt: 5 if task in (2, 4) and attempt <= task // 2 else 0)
    assert follower(queue, retries=2).run() == 0
    assert queue.arrays == {"1": [1, 2, 3, 4], "2": [2, 4], "3": [4]}
    assert "task 4 of 4 ended with status 5; started again (retry 2 of 2)" in capsys.readouterr().err
    assert follower(PretendQueue(lambda task, attempt: 5), retries=2).run() == 5


def test_a_task_that_was_stopped_is_submitted_again_without_counting_as_a_retry():
    queue = PretendQueue(lambda task, attempt: [143, "over time", 143, 5, 0][attempt - 1] if task == 2 else 0)
    assert follower(queue, requeue=True, retries=1).run() == 0
    assert queue.attempts == {1: 1, 2: 5, 3: 1, 4: 1}
    assert follower(PretendQueue(lambda task, attempt: 143)).run() == 143


def test_a_task_that_always_stops_by_itself_is_not_started_for_ever():
    queue = PretendQueue(lambda task, attempt: 143)
    assert follower(queue, tasks=1, requeue=True).run() == 143
    assert queue.attempts == {1: 11}


def test_arrays_are_cut_at_the_sites_limit():
    queue = PretendQueue(lambda task, attempt: 0, most=3)
    assert follower(queue, tasks=8).run() == 0
    assert queue.arrays == {"1": [1, 2, 3], "2": [4, 5, 6], "3": [7, 8]}


def test_of_arrays_that_were_cut_one_is_in_the_queue_at_a_time_when_the_number_of_tasks_at_once_is_limited():
    queue = PretendQueue(lambda task, attempt: "late", most=2)
    following = follower(queue, tasks=4, max_jobs_run=2)
    submit = queue.submit

    def submit_alone(*arguments) -> str:
        assert all((folder / "done" / "1").exists() for folder in queue.folders.values())
        queue.questions = 0
        return submit(*arguments)

    queue.submit = submit_alone
    assert following.run() == 0
    assert queue.arrays == {"1": [1, 2], "2": [3, 4]}


def test_a_task_that_waits_for_a_person_is_said_once_and_waited_for(capsys):
    queue = PretendQueue(lambda task, attempt: "blocked")
    following = follower(queue)
    states = queue.states

    def mended_at_the_tenth_question(ids: list[str]):
        if queue.questions == 10:
            for id, index in queue.fates:
                queue.fates[id, index] = 0
                queue.mark(id, index, 0)
        return states(ids)

    queue.states = mended_at_the_tenth_question
    assert following.run() == 0
    assert capsys.readouterr().err == "pretend: job 1 of 4 tasks waits: reason blocked\n"


def test_a_queue_that_does_not_answer_for_a_while_is_waited_for(capsys):
    queue = PretendQueue(lambda task, attempt: "late")
    following = follower(queue)
    following.pause = lambda seconds: None
    queue.silent = 3
    assert following.run() == 0
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "pretend: the queue does not answer, waiting for it: no route to the queue"
    assert said[1].startswith("pretend: the queue answers again, after ")
    assert len(said) == 2


def test_a_queue_that_never_takes_the_job_is_given_up(capsys):
    queue = PretendQueue(lambda task, attempt: 0)
    queue.silent = 10**9
    following = follower(queue)
    following.pause, following.submit_patience = lambda seconds: None, 0.05
    with pytest.raises(InputError, match="pretend does not answer: no route to the queue"):
        following.run()


def test_a_refusal_cancels_the_arrays_that_were_taken():
    queue = PretendQueue(lambda task, attempt: "running", most=2)
    submit = queue.submit

    def take_one(*arguments) -> str:
        if queue.arrays:
            raise InputError("too many jobs")
        return submit(*arguments)

    queue.submit = take_one
    with pytest.raises(InputError, match="too many jobs"):
        follower(queue).run()
    assert queue.cancelled == ["1"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_cancels_and_says_what_had_not_begun(capsys, signum, tmp_path):
    queue = PretendQueue(lambda task, attempt: "running")
    following = follower(queue)
    states = queue.states

    def interrupt(ids: list[str]):
        (tmp_path / "log/x.3.log").touch()  # task 3 has begun
        signal.pthread_kill(threading.main_thread().ident, signum)
        queue.states = states
        return states(ids)

    queue.states = interrupt
    assert following.run() == 128 + signum
    assert queue.cancelled == ["1"]
    assert capsys.readouterr().err == f"pretend: ended by {signum.name}; 1 stopped, 3 not begun\n"
    assert not (tmp_path / "log/q").exists()


def test_when_the_queue_cannot_be_told_to_cancel_the_next_call_does_it(capsys):
    queue = PretendQueue(lambda task, attempt: 7 if task == 3 else "running")
    cancel = queue.cancel

    def silent(ids: list[str]) -> None:
        raise QueueSilent("gone fishing")

    queue.cancel = silent
    assert follower(queue).run() == 7
    assert "1 could not be cancelled (gone fishing); the next call of this job will do it" in capsys.readouterr().err
    queue.cancel, queue.fate = cancel, lambda task, attempt: 0
    assert follower(queue).run() == 0
    assert capsys.readouterr().err == "pretend: cancelling what an earlier call of this job left in the queue: 1\n"
    assert queue.cancelled == ["1"]


def test_what_may_be_in_the_queue_still_after_an_interrupt_is_left_to_the_next_call(capsys, tmp_path):
    queue = PretendQueue(lambda task, attempt: "running")
    following, cancel = follower(queue), queue.cancel
    following.stop_patience = 0.05
    queue.cancel = lambda ids: None  # accepted, and not done
    threading.Timer(0.2, signal.pthread_kill, (threading.main_thread().ident, signal.SIGTERM)).start()
    assert following.run() == 143
    assert "1 may be in the queue still; the next call of this job will cancel it" in capsys.readouterr().err
    assert queue.find(queue.folders["1"].name) == ["1"]
    queue.cancel, queue.fate = cancel, lambda task, attempt: 0
    assert follower(queue).run() == 0
    assert queue.cancelled == ["1"]
    assert list((tmp_path / "log").iterdir()) == []


def test_an_interrupt_while_leftovers_are_awaited_leaves_them_to_the_next_call(tmp_path):
    queue = PretendQueue(lambda task, attempt: "running")
    cancel, queue.cancel = queue.cancel, lambda ids: None
    following = follower(queue, tasks=1)
    following.stop_patience = 0.0
    (folder := tmp_path / "log/q/x.JOB.log/x.1").mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps({"engine": "pretend", "tasks": [1]}))
    queue.submit(folder / "x.1.sh", 1, following.job)
    threading.Timer(0.2, signal.pthread_kill, (threading.main_thread().ident, signal.SIGTERM)).start()
    assert following.run() == 143
    assert folder.exists() and queue.arrays == {"1": [1]}
    queue.cancel, queue.fate = cancel, lambda task, attempt: 0
    assert follower(queue).run() == 0
    assert not folder.exists()


def test_what_another_engine_may_still_run_is_not_begun_beside_it(tmp_path):
    folder = tmp_path / "log/q/x.JOB.log/x.1"
    folder.mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps({"engine": "slurm"}))
    job = Job("log/x.JOB.log", ["true"], "JOB", 1, 2)
    for call in (follower(PretendQueue(lambda task, attempt: 0)).run, lambda: run_here(job)):
        with pytest.raises(
            InputError, match=r"an earlier call with slurm may have left this job .* with slurm cancels it"
        ):
            call()
    (folder / "ended").touch()
    assert run_here(job) == 0
    assert sorted(path.name for path in (tmp_path / "log").iterdir()) == ["x.1.log", "x.2.log"]


def test_a_job_that_failed_may_be_run_by_another_engine(tmp_path):
    assert follower(PretendQueue(lambda task, attempt: 7)).run() == 7
    assert run_here(Job("log/x.JOB.log", ["true"], "JOB", 1, 2)) == 0


@pytest.mark.parametrize("error", [QueueSilent("no route"), QueueFull("only 2 jobs are allowed per user")])
def test_a_queue_that_takes_no_further_array_now_is_waited_for_while_the_others_are_followed(capsys, error):
    queue = PretendQueue(lambda task, attempt: 0, most=2)
    submit, refused = queue.submit, []

    def take_one(*arguments) -> str:
        if queue.arrays and len(refused) < 5:
            refused.append(error)
            raise error
        return submit(*arguments)

    queue.submit = take_one
    following = follower(queue)
    following.submit_patience = 0.0
    assert following.run() == 0
    assert queue.arrays == {"1": [1, 2], "2": [3, 4]}
    assert (
        capsys.readouterr().err == f"pretend: the queue takes no more tasks now, trying again until it does: {error}\n"
    )


def test_an_array_that_the_queue_has_taken_twice_runs_once(capsys):
    queue = PretendQueue(lambda task, attempt: "running")
    submit, states = queue.submit, queue.states

    def cut_off_once(*arguments) -> str:
        if not queue.doubtful:
            queue.doubtful = arguments
            raise QueueSilent("sbatch did not come back")
        return submit(*arguments)

    def accepted_late(ids: list[str]):
        if queue.questions == 1:
            submit(*queue.doubtful)
        if queue.cancelled:
            for index in range(1, 5):
                queue.fates["1", index] = 0
                queue.mark("1", index, 0)
        return states(ids)

    queue.doubtful, queue.submit, queue.states = (), cut_off_once, accepted_late
    assert follower(queue).run() == 0
    assert (list(queue.arrays), queue.cancelled) == (["1", "2"], ["2"])
    assert "pretend: cancelling what the queue has taken twice: 2" in capsys.readouterr().err


def test_a_file_server_that_fails_for_a_moment_costs_no_task(capsys, monkeypatch):
    new_markers, failures = Array.new_markers, [OSError(116, "Stale file handle")] * 3

    def stale(array: Array):
        if failures:
            raise failures.pop()
        return new_markers(array)

    monkeypatch.setattr(Array, "new_markers", stale)
    assert follower(PretendQueue(lambda task, attempt: 0)).run() == 0
    assert capsys.readouterr().err.count("Stale file handle; looking again") == 1


def test_what_the_queue_stops_again_and_again_is_not_submitted_for_ever(capsys):
    queue = PretendQueue(lambda task, attempt: "over time")
    following = follower(queue, tasks=1, requeue=True)
    following.patience = 0.0
    assert following.run() == 143
    assert queue.attempts == {1: 51}
    assert "over its time limit (requeued 50 times before, and not again); " in capsys.readouterr().err


def test_a_reason_that_is_known_needs_no_guess(capsys):
    for reason, guessed in (": killed (SIGKILL)", True), (": out of memory (OUT_OF_MEMORY)", False):
        report("pretend", [Failure(1, "make", 137, "x.log", reason)], 0, 0, 0)
        assert ("SIGKILL is also what" in capsys.readouterr().err) == guessed


def test_old_logs_are_not_taken_for_those_of_tasks_that_did_not_begin(tmp_path, capsys):
    (tmp_path / "log").mkdir()
    (tmp_path / "log/x.2.log").write_text("of last week")
    assert follower(PretendQueue(lambda task, attempt: "never" if task == 2 else 0)).run() == 1
    assert "of last week" not in capsys.readouterr().err


def test_the_queues_own_words_on_a_task_are_shown_with_its_log(tmp_path, capsys):
    queue = PretendQueue(lambda task, attempt: "gone")
    submit = queue.submit

    def complain(script: Path, *arguments) -> str:
        (script.parent / "out/1").write_text("slurmstepd: no such folder\n")
        return submit(script, *arguments)

    queue.submit = complain
    assert follower(queue, tasks=1).run() == 137
    assert "  slurmstepd: no such folder\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    "log, folder",
    [
        ("exp/a/log/x.JOB.log", "exp/a/log/q/x.JOB.log"),
        ("x.log", "q/x.log"),
        ("/exp/JOB/log/x.log", "/exp/q/JOB.log.x.log"),
    ],
)
def test_the_queues_files_lie_beside_the_logs(log, folder):
    assert spool_folder(Job(log, ["true"], "JOB")) == Path(folder)


def test_the_script_works_in_the_callers_folder_and_environment_and_keeps_no_secret(tmp_path, monkeypatch):
    folder = tmp_path / 'it\'s a "folder" $HOME'
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{tmp_path}/my programs:{os.environ['PATH']}")
    monkeypatch.setenv("SPK_THING", "two\nlines 'and' $more")
    monkeypatch.setenv("API_TOKEN", "secret")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "secret")  # of the caller's machine
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "ib0")
    text = script_text(Path("log/q/x"), "INDEX")
    assert "secret" not in text
    assert "export NCCL_SOCKET_IFNAME=ib0\n" in text
    (tmp_path / "my programs").mkdir()
    python = tmp_path / "my programs/python3"
    python.write_text('#!/bin/sh\nprintf "%s|" "$PWD" "$SPK_THING" "$@"\n')
    python.chmod(0o755)
    done = subprocess.run(["bash"], input=text, env={"INDEX": "7"}, cwd="/", capture_output=True, text=True)
    assert done.stdout == f"{folder}|two\nlines 'and' $more|-m|spk.jobs.task|log/q/x|7|"
