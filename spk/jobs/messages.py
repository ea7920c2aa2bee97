"""What all engines say of a job, in the same words."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from spk.jobs.log import tail


@dataclass(frozen=True)
class Failure:
    """A task that failed for good. `reason` is what is known beside the status, as ' (SIGKILL)'."""

    name: str
    status: int
    log: str
    reason: str = ""
    queue_output: str = ""  # a file with what the queue itself said of the task; may be empty or missing


def say(engine: str, line: str) -> None:
    print(f"{engine}: {line}", file=sys.stderr, flush=True)


def report(engine: str, failures: Sequence[Failure], num_stopped: int, num_waiting: int, interrupted_by: int) -> int:
    """Say what went wrong, if anything did; the exit status of the job."""
    counts = f"{num_stopped} stopped, {num_waiting} not begun"
    for failure in failures:
        where = f"its log: {failure.log}" if os.path.exists(failure.log) else "it has no log: it did not begin"
        say(engine, f"{failure.name} failed with status {failure.status}{failure.reason}; {where}")
    if failures:
        first = failures[0]
        shown = [path for path in (first.log, first.queue_output) if path and os.path.exists(path)]
        shown = [path for path in shown if os.path.getsize(path)]
        say(engine, counts + (f"; the end of {shown[0]}:" if shown else ""))
        for place, path in enumerate(shown):
            if place:
                say(engine, f"and of {path}:")
            print(tail(path), file=sys.stderr, flush=True)
    if interrupted_by:
        say(engine, f"ended by {signal.Signals(interrupted_by).name}; {counts}")
        return 128 + interrupted_by
    return failures[0].status if failures else 0


def say_again(engine: str, name: str, status: int, reason: str, again: str, log: str) -> None:
    """A task failed or was stopped, and is started again: `again` says by what right."""
    say(engine, f"{name} ended with status {status}{reason}; started again ({again}); what it said: {log}")
