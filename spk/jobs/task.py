"""On a machine of the cluster: run one task of a submitted array, and leave a marker with its status.

`python3 -m spk.jobs.task ARRAY_FOLDER INDEX` is what the submitted script becomes. Nothing heavy is imported here.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from spk.jobs import caller
from spk.jobs.job import Job
from spk.jobs.local import Runner, Task

# What a queue may send before it kills.
QUEUE_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
# GridEngine takes these statuses as requests: run the task again, put it into an error state.
TAKEN_STATUSES = (99, 100)


class TaskRunner(Runner):
    """One task: the queue, not we, decides how long it has to end.

    On several nodes the launcher gives the status of none in particular: the node that fails first leaves its status as
    a link at `first_status` (see spk.jobs.slurm), and that is the task's.
    """

    grace = math.inf
    second_kills = False

    def __init__(self, job: Job, first_status: Path, passed_on: Iterable[str], stop_command: Sequence[str]) -> None:
        self.passed_on = frozenset(signal.Signals[name] for name in passed_on)
        # Any other is not heard: GridEngine sends SIGUSR1 before a suspension, too.
        self.stop_signals = self.passed_on | {signal.SIGTERM, signal.SIGINT}
        for signum in frozenset(QUEUE_SIGNALS) - self.stop_signals:
            signal.signal(signum, lambda *_: None)  # unlike SIG_IGN, not handed on to the command
        super().__init__(job)
        self.first_status, self.stop_command = first_status, stop_command

    def ask_to_end(self, groups: Iterable[int]) -> None:
        if self.stop_command:  # the command runs on other machines
            subprocess.run(self.stop_command, check=False)
        else:
            super().ask_to_end(groups)

    def finish(self, task: Task, exit_code: int) -> None:
        with contextlib.suppress(OSError):
            exit_code = int(str(self.first_status.readlink()))
        super().finish(task, exit_code)


def run_task(folder: Path, index: int) -> dict[str, Any]:
    """Run the task with this index (from 1) of the array in `folder`; what its marker says."""
    submitted = json.loads((folder / "job.json").read_text())
    number = submitted["tasks"][index - 1]
    job = Job(
        log=submitted["log"],
        argv=submitted["argv"],
        variable=submitted["variable"],
        first=number,
        last=number,
        resources=submitted["resources"],
        launcher=submitted["launcher"],
    )
    first_status = folder.absolute() / "done" / f".{index}.first_status"
    os.environ["SPK_FIRST_STATUS"] = str(first_status)
    runner = TaskRunner(job, first_status, submitted["signals_for_script"], submitted["stop_command"])
    runner.run()
    task = (*runner.failed, *runner.stopped, *runner.ended)[0]
    signalled = signal.Signals(runner.interrupted_by).name if runner.interrupted_by else ""
    return {"status": task.status, "exit_code": task.exit_code, "signalled": signalled}


def write_marker(folder: Path, index: int, said: dict[str, Any]) -> None:
    """Whole or not at all; and not when the submission is no more (its folder was removed)."""
    marker = folder / "done" / str(index)
    partial = marker.with_name(f".{index}.partial")
    partial.write_text(json.dumps(said))
    partial.replace(marker)


def main() -> None:
    folder, index = Path(sys.argv[1]), int(sys.argv[2])
    os.environ.pop(caller.VARIABLE, None)  # a task goes on without its submitter
    if not (folder / "job.json").exists():
        sys.exit(f"{folder}: this submission is no more: it was started again, or cancelled")
    try:
        said = run_task(folder, index)
    except OSError as error:  # such as a log that cannot be written from here
        said = {"status": 1, "exit_code": 1, "signalled": "", "reason": f"{error.filename}: {error.strerror}"}
        complain(said["reason"])
    try:
        write_marker(folder, index, said)
    except OSError as error:  # the status that we exit with is in the queue's records
        complain(f"{folder / 'done' / str(index)}: {error.strerror}; the command ended with status {said['status']}")
    os._exit(1 if said["status"] in TAKEN_STATUSES else said["status"])


def complain(line: str) -> None:
    with contextlib.suppress(OSError):  # the disk may be full
        print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
