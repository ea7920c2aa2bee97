"""What all engines say of a job, in the same words."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from spk.jobs.log import tail

# Of so many failed tasks each has a line of its own; of the others the names.
NUM_DESCRIBED = 5
# How an engine words what ended a task that its queue ended; other words are shown as they are.
CANCELLED = "cancelled"
OVER_TIME = "over its time limit"
OUT_OF_MEMORY = "out of memory"
PREEMPTED = "preempted"
EXPLAINED = (CANCELLED, OVER_TIME, OUT_OF_MEMORY, PREEMPTED)
# What a status of a signal that nobody sent by hand mostly means.
MEANINGS = {
    137: "SIGKILL is also what the system does when memory runs out: ask for more (--mem), run fewer tasks at once, or "
    "make batches smaller",
    135: "SIGBUS comes when a file is cut short while it is read, such as an archive that is made again meanwhile: run "
    "what makes it again, then this",
}


@dataclass(frozen=True)
class Failure:
    """A task that failed for good. `reason` is what is known beside the status, as ' (SIGKILL)'."""

    task: int
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
    for failure in failures[:NUM_DESCRIBED]:
        where = f"its log: {failure.log}" if Path(failure.log).exists() else "it has no log: it did not begin"
        say(engine, f"{failure.name} failed with status {failure.status}{failure.reason}; {where}")
    if others := failures[NUM_DESCRIBED:]:
        say(engine, f"{len(others)} more failed: tasks {ranges(failure.task for failure in others)}")
    unexplained = [failure for failure in failures if not any(words in failure.reason for words in EXPLAINED)]
    if not interrupted_by:
        for status in {failure.status for failure in unexplained} & MEANINGS.keys():
            say(engine, MEANINGS[status])
    if failures:
        files = [Path(name) for name in (failures[0].log, failures[0].queue_output) if name]
        shown = [file for file in files if file.exists() and file.stat().st_size]
        say(engine, counts + (f"; the end of {shown[0]}:" if shown else ""))
        for place, file in enumerate(shown):
            if place:
                say(engine, f"and the end of {file}:")
            print(tail(file), file=sys.stderr, flush=True)
    if interrupted_by:
        say(engine, f"ended by {signal.Signals(interrupted_by).name}; {counts}")
        return 128 + interrupted_by
    return failures[0].status if failures else 0


def ranges(numbers: Iterable[int]) -> str:
    """'2-4, 9' for 4, 2, 3, 9."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def say_again(engine: str, name: str, status: int, reason: str, again: str, log: str) -> None:
    """A task failed or was stopped, and is started again: `again` says by what right."""
    say(engine, f"{name} ended with status {status}{reason}; started again ({again}); what it said: {log}")
