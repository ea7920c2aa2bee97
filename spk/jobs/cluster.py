"""Run a job's tasks through a cluster's queue: submitted as arrays, followed by markers of our own and by the queue.

A queue is an object as `Queue` describes. Its own ways to wait are not used: they miss what is cancelled while it
waits, or never return. Beside the logs, in q/<name of the log>/, each submitted array has a folder:

    NAME.sh     the script that the queue runs; NAME is the job's name in the queue, never used twice
    job.json    the command, the log, the numbers of the tasks: index 1..n of the array is a place in that list
    id          the queue's id, for people who look
    done/I      the marker of index I: its status, written by spk/jobs/task.py as its last act
    out/I       what the queue itself has to say of index I
    ended       there when nothing of the array is in the queue any more

A task with a marker has the marker's status. One without, of which the queue knows no more, has failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from spk.errors import InputError
from spk.jobs.attempts import STOPPED_STATUS, Attempts
from spk.jobs.caller import Caller
from spk.jobs.job import Job
from spk.jobs.log import keep_old_log, signal_name
from spk.jobs.messages import CANCELLED, OUT_OF_MEMORY, OVER_TIME, PREEMPTED, Failure, report, say, say_again
from spk.jobs.spool import alone, leftovers, mark_ended, spool_folder

KILLED_STATUS = 128 + signal.SIGKILL
# What the script exports again on the machine where it runs, should the queue not hand the environment on: what decides
# where programs are found and how they compute. Which GPUs a task has, the queue says.
EXPORTED = re.compile(
    r"PATH|PYTHONPATH|LD_LIBRARY_PATH|LC_ALL|PYTHONUNBUFFERED|VIRTUAL_ENV"
    r"|(SPK|OMP|MKL|OPENBLAS|NCCL|CUBLAS|CUDA(?!_VISIBLE_DEVICES))_\w+"
)
Value = TypeVar("Value")


class Interrupted(Exception):
    """A signal asked to stop while the queue was asked, or did not answer. A queue may raise it when one is pending."""


class QueueSilent(Exception):
    """The queue does not answer now, and may later. The text is what its tool said, in one line."""


class QueueFull(QueueSilent):
    """The queue takes no further array now, such as by a limit on the jobs of a user. It has not taken this one."""


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

    words: why, beginning with one of spk.jobs.messages.EXPLAINED where that fits; '' when nothing is known, or it ended
    by itself. status: of the script (that of the task, see spk.jobs.task, unless the script was killed), where there is
    a record of it.
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

    def why_gone(self, id: str, index: int) -> Ending | None:
        """What the queue still knows of a task that has ended; None when it will know more in a moment."""

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
    submit_seconds = (1.0, 15.0)  # between attempts to submit, while the queue does not answer
    submit_patience = 300.0  # seconds for a queue that does not answer to take the first array

    def __init__(self, job: Job, queue: Queue) -> None:
        self.job, self.queue = job, queue
        self.spool = spool_folder(job)
        self.token = secrets.token_hex(3)
        self.todo = list(job.tasks)
        self.arrays: list[Array] = []
        self.prepared: Array | None = None  # the next one, which the queue has not taken yet
        self.doubtful: dict[str, str] = {}  # name -> id ('': none yet) of those submitted again after no answer
        self.states: Mapping[tuple[str, int], State] = {}
        self.failures: list[Failure] = []
        self.attempts = Attempts(job)
        self.next_question = self.next_submission = self.first_submission = 0.0  # by time.monotonic()
        self.submit_pause = self.submit_seconds[0]
        self.said: set[str] = set()
        self.silent_since = 0.0
        self.interrupted_by = 0
        self.caller = Caller()
        self.is_stopping = False
        self.signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
        if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
            self.signals.remove(signal.SIGHUP)  # started by nohup

    def run(self) -> int:
        old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, self.signals)
        try:
            with alone(self.job):
                try:
                    self.cancel_leftovers()
                    self.follow()
                except Interrupted:
                    self.pause(0)  # takes note of the signal, if nobody has
                finally:
                    *counts, gone = self.stop()
                status = report(self.queue.name, self.failures, *counts, self.interrupted_by)
                if gone and (status == 0 or (self.interrupted_by and not self.failures)):
                    self.tidy()
                return status
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)

    # What earlier calls left

    def cancel_leftovers(self) -> None:
        """What a killed call has left in the queue must not write the logs of this one."""
        folders = leftovers(self.job, self.queue.name)
        ids = []
        for folder in folders:
            ids += self.insist(lambda name=folder.name: self.queue.find(name))
        if ids:
            self.say(f"cancelling what an earlier call of this job left in the queue: {' '.join(ids)}")
            self.insist(lambda: self.queue.cancel(ids))
            if not self.await_absence(ids):
                raise Interrupted
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    # Submission

    def submit(self) -> None:
        """Submit the tasks that wait, in arrays as large as the site allows: all at once, or one by one for a limit.

        Where the queue does not take an array now, the others are followed meanwhile.
        """
        while self.todo and not self.interrupted_by and time.monotonic() >= self.next_submission:
            if self.job.max_jobs_run and any(array.open for array in self.arrays):
                return
            self.first_submission = self.first_submission or time.monotonic()
            try:
                self.submit_array()
            except QueueSilent as words:
                if isinstance(words, QueueFull) or self.arrays:
                    self.say_once(f"the queue takes no more tasks now, trying again until it does: {words}")
                    self.first_submission = 0.0
                else:
                    self.say_silent(str(words))
                    if time.monotonic() - self.first_submission > self.submit_patience:
                        raise InputError(f"{self.queue.name} does not answer: {words}") from None
            else:
                self.hear_again()
                self.submit_pause = self.submit_seconds[0]
                continue
            self.next_submission = time.monotonic() + self.submit_pause
            self.submit_pause = min(self.submit_pause * 1.5, self.submit_seconds[1])

    def submit_array(self) -> None:
        if self.prepared is None:
            tasks = self.todo[: self.queue.max_array()]
            array = Array(self.spool / f"{self.name}.{self.token}.{len(self.arrays) + 1}", tasks)
            self.write_array(array)
            self.prepared = array
        array, name = self.prepared, self.prepared.folder.name
        try:
            array.id = self.queue.submit(script_of(array.folder), len(array.tasks), self.job)
        except QueueFull:
            raise
        except QueueSilent:
            self.doubtful[name] = ""
            raise
        self.prepared = None
        self.todo = self.todo[len(array.tasks) :]
        if name in self.doubtful:
            self.doubtful[name] = array.id
        array.open = set(range(1, len(array.tasks) + 1))
        self.arrays.append(array)
        (array.folder / "id").write_text(array.id)
        self.next_question = time.monotonic() + self.queue_seconds[0]

    def doubles(self) -> list[str]:
        """Arrays that the queue has taken after all, beside those that we know; what is submitted again is ours."""
        try:
            return [id for name, ours in self.doubtful.items() for id in self.queue.find(name) if id != ours]
        except InputError as error:
            raise QueueSilent(str(error)) from None

    def cancel_doubles(self) -> None:
        if ids := self.doubles():
            self.say(f"cancelling what the queue has taken twice: {' '.join(ids)}")
            self.queue.cancel(ids)

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
            "engine": self.queue.name,
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
            if not self.todo and not any(array.open for array in self.arrays):
                return
            news = self.look_for_markers()
            if time.monotonic() >= self.next_question:
                self.ask_the_queue()
                queue_pause = min(queue_pause * 1.5, self.queue_seconds[1])
                self.next_question = time.monotonic() + queue_pause
            marker_pause = self.marker_seconds[0] if news else min(marker_pause * 1.2, self.marker_seconds[1])
            if not self.failures and (self.todo or any(array.open for array in self.arrays)):
                self.pause(marker_pause)

    def look_for_markers(self) -> bool:
        """Take note of the tasks that have left a marker; were there any?"""
        news = False
        for array in self.arrays:
            if not array.open:
                continue
            try:
                markers = array.new_markers()
            except (OSError, ValueError) as error:  # as of a file server that restarts
                self.say_once(f"{array.folder / 'done'}: {getattr(error, 'strerror', error)}; looking again")
                continue
            for index, marker in markers.items():
                news = True
                # What a signal has ended may have been cancelled, or have taken too much: the queue will know.
                if marker["status"] and (marker["signalled"] or marker["status"] == KILLED_STATUS):
                    array.markers[index] = marker
                    self.next_question = min(self.next_question, time.monotonic() + 0.5)
                else:
                    self.settle(array, index, marker)
        return news

    def ask_the_queue(self) -> None:
        """Take note of what the queue says: of tasks that cannot run, and of those that it has ended."""
        arrays = [array for array in self.arrays if array.open]
        if not arrays:
            return
        if any(self.doubtful.values()):
            self.try_queue(self.cancel_doubles)
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
                tasks = f" of {len(array.tasks)} tasks" if len(array.tasks) > 1 else ""
                self.say_once(f"job {array.id}{tasks} waits: {reason}")

    def settle_gone(self, array: Array, index: int) -> None:
        """The outcome of a task that the queue has ended: with a marker, without one, or not known yet."""
        now = time.monotonic()
        since = array.missing_since.setdefault(index, now)
        ending = self.try_queue(lambda: self.queue.why_gone(array.id, index))
        if ending is None:
            self.next_question = min(self.next_question, now + 1)
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
            by_queue = why.startswith((OVER_TIME, PREEMPTED))
            # What a queue stops for its memory would take as much again.
            stopped = by_queue or (status == STOPPED_STATUS and not why.startswith(OUT_OF_MEMORY))
            again = self.attempts.again(task, stopped, asked=by_queue or bool(marker["signalled"]))
        if not again:
            self.fail(array, index, status, reason + self.attempts.spent(task))
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

    def stop(self) -> tuple[int, int, bool]:
        """Cancel what is left; how many tasks were stopped, how many had not begun; is nothing left in the queue?"""
        self.is_stopping = True
        arrays = [array for array in self.arrays if array.open or array.stuck]
        left = [(array, index) for array in arrays for index in array.open]
        running = sum(Path(self.job.log_of(array.tasks[index - 1])).exists() for array, index in left)
        gone = True
        if arrays or self.doubtful:
            ids = [array.id for array in arrays]
            interrupted_by, self.interrupted_by = self.interrupted_by, 0  # a second interrupt ends the wait
            try:
                if ids:
                    self.queue.cancel(ids)
                if others := self.doubles():
                    self.queue.cancel(others)
                    ids += others
                gone = not ids or self.await_absence(ids, self.stop_patience)
                if not gone:
                    self.say(f"{' '.join(ids)} may be in the queue still; the next call of this job will cancel it")
            except QueueSilent as words:
                gone = False
                what = " ".join(ids) or "what was submitted"
                self.say(f"{what} could not be cancelled ({words}); the next call of this job will do it")
            except Interrupted:
                gone = False
                self.pause(0)
            self.interrupted_by = interrupted_by or self.interrupted_by
        if gone:
            for array in self.folders():
                mark_ended(array.folder)
        return running, len(left) - running + len(self.todo), gone

    def await_absence(self, ids: list[str], patience: float = float("inf")) -> bool:
        """Wait until the queue has ended what was cancelled, so long at most; False then, and at an interrupt."""
        pause, start = 0.2, time.monotonic()
        while not self.interrupted_by and time.monotonic() - start < patience:
            states = self.try_queue(lambda: self.queue.states(ids))
            if states is not None and not states:
                return True
            self.pause(pause)
            pause = min(pause * 1.5, 5.0)
            if time.monotonic() - start > self.patience:
                self.say_once(f"{' '.join(ids)} was cancelled, and is still in the queue")
        return False

    def folders(self) -> list[Array]:
        return [*self.arrays, self.prepared] if self.prepared else self.arrays

    def tidy(self) -> None:
        """Nothing is left of a job that ended well, or was cancelled."""
        for array in self.folders():
            shutil.rmtree(array.folder, ignore_errors=True)

    # Talk

    def insist(self, call: Callable[[], Value]) -> Value:
        """Call until the queue answers; Interrupted after a signal."""
        pause = 1.0
        while True:
            try:
                answer = call()
                self.hear_again()
                return answer
            except QueueSilent as words:
                self.say_silent(str(words))
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
        # After this process was stopped and continued, sigtimedwait may return a signal that does not exist.
        if received is not None and received.si_signo in self.signals:
            self.interrupted_by = received.si_signo
        elif not self.is_stopping and self.caller.has_just_gone():
            self.say(self.caller.words)
            self.interrupted_by = signal.SIGTERM


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
    return sorted((name, value) for name, value in environment.items() if EXPORTED.fullmatch(name))


def touch_folder(folder: Path) -> None:
    """Change a folder, so that a network file system reads it again from its server."""
    probe = folder / f".look.{os.getpid()}"
    with contextlib.suppress(OSError):
        probe.touch()
        probe.unlink()
