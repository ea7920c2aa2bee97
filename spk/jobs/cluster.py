"""Run a job's tasks through a cluster's queue: submitted as arrays, followed by markers of our own and by the queue.

A queue is an object as `Queue` describes. Its own ways to wait are not used: they miss what is cancelled while it
waits, or never return. Beside the logs, in q/<name of the log>/, each submitted array has a folder:

    NAME.sh     the script that the queue runs; NAME is the job's name in the queue, never used twice
    job.json    the command, the log, the numbers of the tasks: index 1..n of the array is a place in that list
    id          the queue's id, for people who look
    done/I      the marker of index I: its status, written by spk/jobs/task.py as its last act
    out/I       what the queue itself has to say of index I

A task with a marker has the marker's status. One without, of which the queue knows no more, has failed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from spk.errors import InputError
from spk.jobs.job import Job
from spk.jobs.local import MOST_UNASKED, STOPPED_STATUS
from spk.jobs.log import keep_old_log, signal_name
from spk.jobs.messages import Failure, report, say, say_again

KILLED_STATUS = 128 + signal.SIGKILL
# What the words of an Ending may begin with; others are shown as they are.
CANCELLED = "cancelled"
OVER_TIME = "over its time limit"
OUT_OF_MEMORY = "out of memory"
PREEMPTED = "preempted"
# What the script exports again on the machine where it runs, should the queue not hand the environment on.
EXPORTED = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LC_ALL", "PYTHONUNBUFFERED", "VIRTUAL_ENV", "OMP_NUM_THREADS")
Value = TypeVar("Value")


class Interrupted(Exception):
    """A signal asked to stop while the queue was asked, or did not answer. A queue may raise it when one is pending."""


class QueueSilent(Exception):
    """The queue does not answer now, and may later. The text is what its tool said, in one line."""


@dataclass(frozen=True)
class State:
    """What a queue says of a task that it has not ended yet.

    kind: 'waiting', 'running', 'blocked' (it waits until a person mends something: said once, and waited for) or
    'never' (it can never run: the job fails). reason: the queue's own words, for the last two.
    """

    kind: str
    reason: str = ""


class Ending(NamedTuple):
    """What a queue still knows of a task that it has ended.

    words: why; see CANCELLED, OVER_TIME, ... above; '' when nothing is known, or it ended by itself. status: of the
    script (that of the task, see spk.jobs.task, unless the script was killed), where there is a record of it.
    """

    words: str = ""
    status: int | None = None


class Queue(Protocol):
    """One cluster engine. Each call may raise QueueSilent. Array indices are always 1..num_tasks."""

    name: str  # messages begin with it; the site's options are in conf/<name>.conf
    index_variable: str  # the environment variable that holds the index
    # The signals that reach the script alone, not its children, before the queue kills: they are passed on as SIGTERM.
    signals_for_script: tuple[str, ...]
    # The command that sends SIGTERM to what `launcher` has started, where it starts anything.
    stop_launched: tuple[str, ...]

    def submit(self, script: Path, num_tasks: int, job: Job) -> str:
        """Submit one array under the name script.stem, with standard output in script.parent/out/<index>; its id.

        InputError with the queue's own words when it refuses. After QueueSilent it is called again with the same
        script: an array that was accepted all the same must not be submitted twice (`find` tells).
        """

    def find(self, name: str) -> list[str]:
        """The ids of this user's arrays of that name that have not ended."""

    def states(self, ids: list[str]) -> Mapping[tuple[str, int], State]:
        """The tasks of these arrays that have not ended, by (id, index); what is absent has ended."""

    def cancel(self, ids: list[str]) -> None:
        """Cancel these arrays; one that has ended meanwhile is no error."""

    def why_gone(self, id: str, index: int) -> Ending:
        """What the queue still knows of a task that has ended."""

    def max_array(self) -> int:
        """The most tasks of one array."""

    def launcher(self, job: Job) -> list[str]:
        """What stands before the command on the node: [] or what starts it on several nodes."""


@dataclass
class Array:
    """One submitted array. Its open indices have no outcome yet."""

    folder: Path
    tasks: list[int]
    id: str = ""
    open: set[int] = field(default_factory=set)
    stuck: bool = False  # it holds tasks that can never run
    markers: dict[int, dict[str, Any]] = field(default_factory=dict)  # of open indices that the queue's word may change
    missing_since: dict[int, float] = field(default_factory=dict)  # by time.monotonic()

    def new_markers(self) -> dict[int, dict[str, Any]]:
        """The markers that came since the last call."""
        indices = [int(path.name) for path in (self.folder / "done").iterdir() if path.name.isdigit()]
        fresh = [index for index in indices if index in self.open and index not in self.markers]
        return {index: json.loads((self.folder / "done" / str(index)).read_text()) for index in sorted(fresh)}


def run(job: Job, queue: Queue) -> int:
    """Run all tasks through the queue; the exit status, as that of spk.jobs.local.run."""
    return Follower(job, queue).run()


class Follower:
    """The state of one job. Signals are taken by sigtimedwait alone: none comes between a submission and its id."""

    marker_seconds = (0.1, 2.0)  # between looks for markers: at first, and at most
    queue_seconds = (2.0, 15.0)  # the same between questions to the queue
    patience = 15.0  # seconds for a marker of a task that the queue has ended to appear (slow file systems)
    stop_patience = 60.0  # seconds for what was cancelled to leave the queue at the end
    submit_patience = 300.0  # seconds for a queue that does not answer to take a job

    def __init__(self, job: Job, queue: Queue) -> None:
        self.job, self.queue = job, queue
        self.spool = spool_folder(job)
        self.token = secrets.token_hex(3)
        self.todo = list(job.tasks)
        self.arrays: list[Array] = []
        self.states: Mapping[tuple[str, int], State] = {}
        self.failures: list[Failure] = []
        self.retried: Counter[int] = Counter()
        self.requeued: Counter[int] = Counter()
        self.unasked: Counter[int] = Counter()
        self.said: set[str] = set()
        self.silent_since = 0.0
        self.interrupted_by = 0
        self.signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
        if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
            self.signals.remove(signal.SIGHUP)  # started by nohup

    def run(self) -> int:
        old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, self.signals)
        try:
            with self.alone():
                try:
                    self.cancel_leftovers()
                    self.follow()
                except Interrupted:
                    self.pause(0)  # takes note of the signal, if nobody has
                finally:
                    counts = self.stop()
                status = report(self.queue.name, self.failures, *counts, self.interrupted_by)
                if status == 0 or (self.interrupted_by and not self.failures):
                    self.tidy()
                return status
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)

    # One submitter at a time

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock of this job: its logs belong to one call at a time. (Not on file systems without locks.)"""
        path = self.spool / "lock"
        with contextlib.ExitStack() as stack:
            while True:
                self.spool.mkdir(parents=True, exist_ok=True)
                lock = stack.enter_context(path.open("a+"))
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    lock.seek(0)
                    holder = lock.read().strip()
                    raise InputError(f"{self.job.log}: {holder} runs this very job; wait for it, or end it") from None
                except OSError:
                    pass
                if path.exists() and path.stat().st_ino == os.fstat(lock.fileno()).st_ino:
                    break  # else the holder before us has just tidied up
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            lock.flush()
            yield
            if not any(entry.is_dir() for entry in self.spool.iterdir()):
                path.unlink()
                with contextlib.suppress(OSError):  # another job's folders may be there
                    self.spool.rmdir()
                    self.spool.parent.rmdir()

    def cancel_leftovers(self) -> None:
        """What a killed call has left in the queue must not write the logs of this one."""
        folders = [path for path in self.spool.iterdir() if path.is_dir()]
        if not folders:
            return
        ids = []
        for folder in folders:
            ids += self.insist(lambda name=folder.name: self.queue.find(name))
        if ids:
            self.say(f"cancelling what an earlier call of this job left in the queue: {' '.join(ids)}")
            self.insist(lambda: self.queue.cancel(ids))
            self.await_absence(ids)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    # Submission

    def submit(self) -> None:
        """Submit the tasks that wait, in arrays as large as the site allows: all at once, or one by one for a limit."""
        while self.todo and not self.interrupted_by:
            if self.job.max_jobs_run and any(array.open for array in self.arrays):
                return
            most = self.insist(self.queue.max_array, self.submit_patience)
            tasks, self.todo = self.todo[:most], self.todo[most:]
            array = Array(self.spool / f"{self.name}.{self.token}.{len(self.arrays) + 1}", tasks)
            try:
                self.write_array(array)
                array.id = self.insist(
                    lambda array=array: self.queue.submit(script_of(array.folder), len(array.tasks), self.job),
                    self.submit_patience,
                )
            finally:
                if not array.id:
                    self.todo = tasks + self.todo
            (array.folder / "id").write_text(array.id)
            array.open = set(range(1, len(tasks) + 1))
            self.arrays.append(array)
            self.next_question = time.monotonic() + self.queue_seconds[0]

    @property
    def name(self) -> str:
        """A name for the queue: that of the log, as far as every queue takes it."""
        stem = Path(self.spool.name).stem
        letters = "".join(letter if letter.isalnum() or letter in "_-." else "_" for letter in stem).lstrip(
            "0123456789.-"
        )
        return letters[:40] or "job"

    def write_array(self, array: Array) -> None:
        """The folder of an array, all but the id."""
        for name in ("done", "out"):
            (array.folder / name).mkdir(parents=True)
        for task in array.tasks:
            Path(self.job.log_of(task)).unlink(missing_ok=True)  # a log that exists is of this call
        launcher = self.queue.launcher(self.job)
        job = {
            "log": self.job.log,
            "argv": list(self.job.argv),
            "variable": self.job.variable,
            "resources": {
                name: self.job.resources[name] for name in ("num_threads", "nodes") if name in self.job.resources
            },
            "launcher": launcher,
            "stop_command": self.queue.stop_launched if launcher else [],
            "signals_for_script": self.queue.signals_for_script,
            "tasks": array.tasks,
        }
        (array.folder / "job.json").write_text(json.dumps(job))
        script_of(array.folder).write_bytes(os.fsencode(script_text(array.folder, self.queue.index_variable)))

    # Following

    def follow(self) -> None:
        marker_pause, queue_pause = self.marker_seconds[0], self.queue_seconds[0]
        while not self.failures and not self.interrupted_by:
            self.submit()
            if not any(array.open for array in self.arrays):
                return
            news = self.look_for_markers()
            if time.monotonic() >= self.next_question:
                self.ask_the_queue()
                queue_pause = min(queue_pause * 1.5, self.queue_seconds[1])
                self.next_question = time.monotonic() + queue_pause
            marker_pause = self.marker_seconds[0] if news else min(marker_pause * 1.2, self.marker_seconds[1])
            if not self.failures and any(array.open for array in self.arrays):
                self.pause(marker_pause)

    def look_for_markers(self) -> bool:
        """Take note of the tasks that have left a marker; were there any?"""
        news = False
        for array in self.arrays:
            if not array.open:
                continue
            for index, marker in array.new_markers().items():
                news = True
                # What a signal has ended may have been cancelled, or have taken too much: the queue will know.
                if marker["status"] and (marker["signalled"] or marker["exit_code"] == -signal.SIGKILL):
                    array.markers[index] = marker
                    self.next_question = min(self.next_question, time.monotonic() + 0.5)
                else:
                    self.settle(array, index, marker)
        return news

    def ask_the_queue(self) -> None:
        """Take note of what the queue says: of tasks that cannot run, and of those that it has ended."""
        arrays = [array for array in self.arrays if array.open]
        states = self.try_queue(lambda: self.queue.states([array.id for array in arrays]))
        if states is None:
            return
        self.states = states
        self.look_for_markers()  # those written between the last look and the queue's answer
        for array in arrays:
            blocked: dict[str, None] = {}
            for index in sorted(array.open):
                state = states.get((array.id, index))
                if state is None:
                    self.settle_gone(array, index)
                    continue
                array.missing_since.pop(index, None)
                if state.kind == "never":
                    array.stuck = True
                    self.fail(array, index, 1, f": it can never run: {state.reason}")
                elif state.kind == "blocked":
                    blocked[state.reason] = None
            for reason in blocked:
                tasks = f"{len(array.tasks)} tasks" if len(array.tasks) > 1 else "task"
                self.say_once(f"job {array.id} of {tasks} waits: {reason}")

    def settle_gone(self, array: Array, index: int) -> None:
        """The outcome of a task that the queue has ended: with a marker, without one, or not known yet."""
        now = time.monotonic()
        since = array.missing_since.setdefault(index, now)
        ending = self.try_queue(lambda: self.queue.why_gone(array.id, index))
        if ending is None:
            return
        why, status = ending
        marker = array.markers.get(index)
        # Where the queue knows why, a marker is seldom to come; for what a person has cancelled it is not needed.
        patience = self.patience / 3 if why else self.patience
        if marker is None and not why.startswith(CANCELLED) and now - since < patience:
            touch_folder(array.folder / "done")
            self.next_question = min(self.next_question, now + 1)
            return
        if marker is None:
            if status is not None:
                why = why or "by the queue's record"
            else:
                why = why or "it is gone from the queue and left no status"
                status = STOPPED_STATUS if why.startswith((CANCELLED, OVER_TIME, PREEMPTED)) else KILLED_STATUS
            marker = {"status": status, "exit_code": 0, "signalled": ""}
        self.settle(array, index, marker, why)

    def settle(self, array: Array, index: int, marker: dict[str, Any], why: str = "") -> None:
        """A task has ended: well, to be started again, or for good."""
        array.open.discard(index)
        array.markers.pop(index, None)
        task, status = array.tasks[index - 1], marker["status"]
        if status == 0:
            return
        words = why or marker.get("reason", "")
        reason = signal_name(marker["exit_code"]) + (f": {words}" if words else "")
        again = ""
        if not why.startswith(CANCELLED):
            asked = marker["signalled"] or why.startswith((OVER_TIME, PREEMPTED))
            self.unasked[task] += not asked
            may = asked or self.unasked[task] <= MOST_UNASKED
            # What a queue stops for its memory would take as much again.
            stopped = status == STOPPED_STATUS and not why.startswith(OUT_OF_MEMORY)
            if self.job.requeue and (stopped or why.startswith((OVER_TIME, PREEMPTED))) and may:
                self.requeued[task] += 1
                again = f"requeue {self.requeued[task]}"
            elif self.retried[task] < self.job.retries:
                self.retried[task] += 1
                again = f"retry {self.retried[task]} of {self.job.retries}"
        if not again:
            self.fail(array, index, status, reason)
            return
        old_log = keep_old_log(self.job.log_of(task))
        say_again(self.queue.name, self.job.name_of(task), status, reason, again, old_log)
        self.todo.append(task)

    def fail(self, array: Array, index: int, status: int, reason: str) -> None:
        array.open.discard(index)
        task = array.tasks[index - 1]
        output = str(array.folder / "out" / str(index))
        self.failures.append(Failure(task, self.job.name_of(task), status, self.job.log_of(task), reason, output))

    # The end

    def stop(self) -> tuple[int, int]:
        """Cancel what is left; how many tasks were stopped, and how many had not begun."""
        arrays = [array for array in self.arrays if array.open or array.stuck]
        left = [(array, index) for array in arrays for index in array.open]
        running = sum(Path(self.job.log_of(array.tasks[index - 1])).exists() for array, index in left)
        if arrays:
            ids = [array.id for array in arrays]
            interrupted_by, self.interrupted_by = self.interrupted_by, 0  # a second interrupt ends the wait
            try:
                self.queue.cancel(ids)
                self.await_absence(ids, self.stop_patience)
            except QueueSilent as words:
                self.say(f"{' '.join(ids)} could not be cancelled ({words}); the next call of this job will do it")
            except Interrupted:
                self.pause(0)
            self.interrupted_by = interrupted_by or self.interrupted_by
        return running, len(left) - running + len(self.todo)

    def await_absence(self, ids: list[str], patience: float = float("inf")) -> None:
        """Wait until the queue has ended what was cancelled, so long at most; an interrupt ends the wait."""
        pause, start = 0.2, time.monotonic()
        while not self.interrupted_by and time.monotonic() - start < patience:
            states = self.try_queue(lambda: self.queue.states(ids))
            if states is not None and not states:
                return
            self.pause(pause)
            pause = min(pause * 1.5, 5.0)
            if time.monotonic() - start > self.patience:
                self.say_once(f"{' '.join(ids)} was cancelled, and is still in the queue")

    def tidy(self) -> None:
        """Nothing is left of a job that ended well, or was cancelled."""
        for array in self.arrays:
            shutil.rmtree(array.folder, ignore_errors=True)

    # Talk

    def insist(self, call: Callable[[], Value], patience: float = float("inf")) -> Value:
        """Call until the queue answers; InputError after `patience` seconds, Interrupted after a signal."""
        start = time.monotonic()
        pause = 1.0
        while True:
            try:
                answer = call()
                self.hear_again()
                return answer
            except QueueSilent as words:
                self.say_silent(str(words))
                if time.monotonic() - start > patience:
                    raise InputError(f"{self.queue.name} does not answer: {words}") from None
            self.pause(pause)
            if self.interrupted_by:
                raise Interrupted
            pause = min(pause * 1.5, 15.0)

    def try_queue(self, call: Callable[[], Value]) -> Value | None:
        """One call; None when the queue does not answer, which is said once."""
        try:
            answer = call()
        except QueueSilent as words:
            self.say_silent(str(words))
            return None
        self.hear_again()
        return answer

    def say_silent(self, words: str) -> None:
        if not self.silent_since:
            self.silent_since = time.monotonic()
            self.say(f"the queue does not answer, waiting for it: {words}")

    def hear_again(self) -> None:
        if self.silent_since:
            self.say(f"the queue answers again, after {time.monotonic() - self.silent_since:.0f} seconds")
            self.silent_since = 0.0

    def say(self, line: str) -> None:
        say(self.queue.name, line)

    def say_once(self, line: str) -> None:
        if line not in self.said:
            self.said.add(line)
            self.say(line)

    def pause(self, seconds: float) -> None:
        """Sleep, unless a signal asks to stop."""
        received = signal.sigtimedwait(self.signals, seconds)
        if received is not None:
            self.interrupted_by = received.si_signo


def spool_folder(job: Job) -> Path:
    """q/<name of the log> beside the logs, or beside their folders where each task has its own."""
    parts = Path(job.log).parts
    common = len(parts) - 1
    if job.variable:
        common = next((place for place, part in enumerate(parts) if job.variable in part), common)
    return Path(*parts[:common]) / "q" / ".".join(parts[common:])


def script_of(folder: Path) -> Path:
    return folder / f"{folder.name}.sh"


def script_text(folder: Path, index_variable: str) -> str:
    """What the queue runs for each index: in the caller's folder and environment, spk.jobs.task."""
    here = shlex.quote(current_folder())
    exports = exported_variables(os.environ)
    return "\n".join(
        [
            "#!/bin/bash",
            f"cd {here} || exit 1",
            *(f"export {name}={shlex.quote(value)}" for name, value in exports),
            f'exec python3 -m spk.jobs.task {shlex.quote(str(folder))} "${index_variable}"',
            "",
        ]
    )


def current_folder() -> str:
    """By the name that the caller's shell knows: automounters may lack the physical one on other machines."""
    named, physical = Path(os.environ.get("PWD", "")), Path.cwd()
    return str(named if named.is_absolute() and named.exists() and named.samefile(physical) else physical)


def exported_variables(environment: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    """Those that decide what a task does; no secret that the caller may have in others is written into a file."""
    return sorted((name, value) for name, value in environment.items() if name in EXPORTED or name.startswith("SPK_"))


def touch_folder(folder: Path) -> None:
    """Change a folder, so that a network file system reads it again from its server."""
    probe = folder / f".look.{os.getpid()}"
    with contextlib.suppress(OSError):
        probe.touch()
        probe.unlink()
