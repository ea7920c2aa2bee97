"""Run a job's tasks on this machine: so many at once, each as a process group of its own."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from spk.control_groups import memory_limits
from spk.errors import InputError
from spk.jobs.attempts import STOPPED_STATUS, Attempts
from spk.jobs.caller import Caller
from spk.jobs.guardian import GRACE_SECONDS, Guardian, signal_groups, wait_for_groups
from spk.jobs.job import Job
from spk.jobs.log import close_log, keep_old_log, open_log, signal_name
from spk.jobs.messages import Failure, report, say, say_again
from spk.jobs.spool import alone, leftovers

# Long enough for a training to finish its step and save a checkpoint; a second interrupt cuts it short.
INTERRUPT_GRACE_SECONDS = 60.0
ROOT = Path("/")
BYTES = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def run(job: Job) -> int:
    """Run all tasks; the exit status: 0, that of the task that failed first, or 128 + n when stopped by signal n.

    When a task fails for good, the others are stopped and no more begin; the end of its log goes to stderr.
    """
    if int(job.resources.get("nodes", 1)) > 1:
        raise InputError(f"--nodes {job.resources['nodes']}: run knows this machine alone; give the job to utils/slurm")
    runner = Runner(job)
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # where no file can be made, the log says so
            stack.enter_context(alone(job))
            leftovers(job, "run")
        runner.run()
    failures = [
        Failure(
            task.number,
            job.name_of(task.number),
            task.status,
            task.log,
            signal_name(task.exit_code) + runner.attempts.spent(task.number),
        )
        for task in runner.failed
    ]
    return report("run", failures, len(runner.stopped), len(runner.waiting), runner.interrupted_by)


@dataclass
class Task:
    """A task that runs or has run. `exit_code` is -n when signal n ended it, as in the subprocess module."""

    number: int
    log: str
    log_file: int
    started: float
    devices: list[str]
    exit_code: int = 0

    @property
    def status(self) -> int:
        """As a shell counts: 128 + n for signal n."""
        return self.exit_code if self.exit_code >= 0 else 128 - self.exit_code


class Runner:
    """The state of one job. Signals are taken by sigtimedwait alone: none comes between a start and its bookkeeping.

    Each of `stop_signals` ends the job: `passed_on` to the tasks as SIGTERM (those not in it have reached them anyway).
    They get `grace` seconds after it, and no more when `second_kills` and another such signal comes.
    """

    stop_signals = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    passed_on = stop_signals
    grace = INTERRUPT_GRACE_SECONDS
    second_kills = True

    def __init__(self, job: Job) -> None:
        self.job = job
        self.waiting = deque(job.tasks)
        self.running: dict[int, Task] = {}  # by process id, which is the process group's id too
        self.failed: list[Task] = []
        self.stopped: list[Task] = []
        self.ended: list[Task] = []  # well
        self.groups_of_failed: list[int] = []  # what failed may have left processes of its own running
        self.stopping = ""  # why tasks are being stopped
        self.attempts = Attempts(job)
        self.interrupted_by = 0
        self.caller = Caller()
        self.signals = {signal.SIGCHLD, *self.stop_signals}
        if signal.SIGHUP in self.signals and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
            self.signals.remove(signal.SIGHUP)  # started by nohup
        self.old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self.num_gpus = int(job.resources.get("gpu", 0))
        self.devices = gpu_devices() if self.num_gpus else []
        if self.devices and self.num_gpus > len(self.devices):
            raise InputError(f"--gpu {self.num_gpus}: this machine offers {len(self.devices)}")
        self.limit = self.most_at_once()

    def most_at_once(self) -> int:
        """--max-jobs-run, or what the cores and the memory have room for; and no more than there are GPUs for."""
        resources = self.job.resources
        limit = self.job.max_jobs_run
        if limit is None:
            limit = num_cores() // int(resources.get("num_threads", 1))
            if "mem" in resources:
                wanted = float(resources["mem"][:-1]) * BYTES[resources["mem"][-1]]
                limit = min(limit, int(total_memory() / max(wanted, 1)))
        if self.devices:
            limit = min(limit, len(self.devices) // self.num_gpus)
        return max(limit, 1)

    def run(self) -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # whoever ignores it loses the statuses of its children
        signal.pthread_sigmask(signal.SIG_BLOCK, self.signals)
        self.guardian = Guardian()
        try:
            while (self.waiting or self.running) and not self.failed:
                self.start_tasks()
                if self.running and not self.failed:
                    self.await_signal(math.inf)
                if self.interrupted_by:
                    break
        finally:
            why = signal.Signals(self.interrupted_by).name if self.interrupted_by else "another task failed"
            self.stop_tasks(why)
            self.guardian.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, self.old_mask)

    def start_tasks(self) -> None:
        while self.waiting and len(self.running) < self.limit and not self.failed:
            self.start_task(self.waiting.popleft())

    def start_task(self, number: int) -> None:
        argv, log = self.job.argv_of(number), self.job.log_of(number)
        log_file = open_log(log, argv)
        devices = [self.devices.pop(0) for _ in range(self.num_gpus)] if self.devices else []
        process = os.fork()
        if process == 0:
            self.become_task([*self.job.launcher, *argv], log_file, devices)
        self.running[process] = Task(number, log, log_file, time.monotonic(), devices)

    def become_task(self, argv: list[str], log_file: int, devices: list[str]) -> NoReturn:
        """In the child: tell the guardian (before it is too late), then become the command."""
        status = 126
        try:
            os.setsid()
            self.guardian.watch(os.getpid())
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(log_file, 1)
            os.dup2(log_file, 2)
            if devices:
                os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
            if "num_threads" in self.job.resources:
                os.environ["OMP_NUM_THREADS"] = self.job.resources["num_threads"]
            if "nodes" in self.job.resources:
                os.environ.update(node_environment(self.job.resources["nodes"]))
            for signum in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(signum, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, self.old_mask)
            os.execvp(argv[0], argv)
        except FileNotFoundError:
            status = 127
            os.write(2, f"{argv[0]}: no such command, or the program after its #! is missing\n".encode())
        except OSError as error:
            os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
        finally:
            os._exit(status)

    def await_signal(self, deadline: float) -> bool:
        """Wait for a task to end or for a request to stop, and take note of it. False when the deadline comes first.

        A SIGCHLD may be lost (another thread of this process that does not block it swallows it), so what has ended is
        looked for every second without it.
        """
        wait = max(min(deadline - time.monotonic(), 1.0), 0)
        received = signal.sigtimedwait(self.signals, wait)
        # After this process was stopped and continued, sigtimedwait may return a signal that does not exist.
        if received is None or received.si_signo not in self.stop_signals:
            self.reap()
            if not self.stopping and self.caller.has_just_gone():
                say("run", self.caller.words)
                self.interrupted_by = signal.SIGTERM
        else:
            self.interrupted_by = received.si_signo
        return received is not None or time.monotonic() < deadline

    def reap(self) -> None:
        """Note the status of every task that has ended. One SIGCHLD may stand for several."""
        for process in list(self.running):
            ended, status = os.waitpid(process, os.WNOHANG)
            if ended:
                task = self.running.pop(process)
                self.finish(task, os.waitstatus_to_exitcode(status))
                if task.number in self.waiting:  # once more: without what the first attempt left behind
                    signal_groups([process], signal.SIGKILL)
                if task.exit_code == 0 or task.number in self.waiting:
                    self.guardian.forget(process)
                else:
                    self.groups_of_failed.append(process)

    def finish(self, task: Task, exit_code: int) -> None:
        task.exit_code = exit_code
        self.devices += task.devices
        details = f"code {task.status}" + (f"; signal {-exit_code}" if exit_code < 0 else "")
        if exit_code != 0 and self.stopping:
            self.stopped.append(task)
            details += f"; stopped: {self.stopping}"
        seconds = round(time.monotonic() - task.started)
        close_log(task.log_file, details, seconds, self.job.resources.get("num_threads", "1"))
        if exit_code == 0:
            self.ended.append(task)
        elif not self.stopping and not self.start_again(task):
            self.failed.append(task)

    def start_again(self, task: Task) -> bool:
        """Put a task that did not end well into the queue again, where --requeue or --retries allow it."""
        again = self.attempts.again(task.number, stopped=task.status == STOPPED_STATUS)
        if not again:
            return False
        old_log = keep_old_log(task.log)
        say_again("run", self.job.name_of(task.number), task.status, signal_name(task.exit_code), again, old_log)
        self.waiting.append(task.number)
        return True

    def ask_to_end(self, groups: Iterable[int]) -> None:
        signal_groups(groups, signal.SIGTERM)

    def stop_tasks(self, why: str) -> None:
        """End what runs: SIGTERM to every group, and SIGKILL to what is left after the grace or at a second request."""
        self.stopping = why
        groups = [*self.running, *self.groups_of_failed]
        interrupted_by, self.interrupted_by = self.interrupted_by, 0
        if not interrupted_by or interrupted_by in self.passed_on:
            self.ask_to_end(groups)
        deadline = time.monotonic() + (self.grace if interrupted_by else GRACE_SECONDS)
        while self.running and not (self.interrupted_by and self.second_kills) and self.await_signal(deadline):
            pass
        if not (self.interrupted_by and self.second_kills):
            wait_for_groups(groups, min(deadline, time.monotonic() + GRACE_SECONDS))
        signal_groups(groups, signal.SIGKILL)
        self.interrupted_by = interrupted_by or self.interrupted_by
        deadline = time.monotonic() + GRACE_SECONDS
        while self.running and self.await_signal(deadline):
            pass


def num_cores() -> int:
    """Those that this process may use; within a job of a queue, those of the job, although it may bind it to none."""
    granted = [os.environ.get(name, "") for name in ("SLURM_CPUS_PER_TASK", "NSLOTS")]
    return min([len(os.sched_getaffinity(0)), *(int(number) for number in granted if number.isdigit())])


def total_memory() -> int:
    """Bytes of memory that this machine has, or that a container or a job of a queue in which we run may take."""
    present = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    granted = os.environ.get("SLURM_MEM_PER_NODE", "")  # in MB
    return min([present, *memory_limits(ROOT), *([int(granted) * 2**20] if granted.isdigit() and int(granted) else [])])


def node_environment(num_nodes: str) -> dict[str, str]:
    """How the processes on several machines find each other; this one is the first of them, its port free just now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port = probe.getsockname()[1]
    return {
        "SPK_NUM_NODES": num_nodes,
        "SPK_NODE_RANK": "0",
        "SPK_MASTER": socket.gethostname(),
        "SPK_MASTER_PORT": str(port),
    }


def gpu_devices() -> list[str]:
    """The GPUs that tasks may be given: those of CUDA_VISIBLE_DEVICES, or all here; none without a driver."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [device for device in visible.split(",") if device]
    driver = Path("/proc/driver/nvidia/gpus")
    return [str(index) for index, _ in enumerate(driver.iterdir())] if driver.is_dir() else []
