"""A second process that outlives the runner for a moment: should the runner be killed outright, it ends the tasks."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable

# What a task gets between the request to end (SIGTERM) and the end (SIGKILL).
GRACE_SECONDS = 5.0


class Guardian:
    """Knows the process groups of the running tasks. It learns of the runner's end by the end of their pipe.

    (The kernel can tell a child of its parent's death, but not the child's own children, which a task may well have.)
    """

    def __init__(self) -> None:
        read_end, self.write_end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self.write_end)
                guard(read_end)
            finally:
                os._exit(0)
        os.close(read_end)

    def watch(self, group: int) -> None:
        """Called by the group's leader itself, which holds the pipe open until then: no moment is left unguarded."""
        self._say(f"+{group}\n")

    def forget(self, group: int) -> None:
        self._say(f"-{group}\n")

    def close(self) -> None:
        os.close(self.write_end)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _say(self, line: str) -> None:
        # The work goes on when someone has killed the guardian.
        with contextlib.suppress(BrokenPipeError):
            os.write(self.write_end, line.encode())


def guard(read_end: int) -> None:
    """The guardian's life: in a session of its own, so that what is sent to the runner's group does not reach it."""
    os.setsid()
    # Whoever reads the runner's output must see its end when the runner ends.
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    groups: set[int] = set()
    with open(read_end, encoding="ascii") as lines:
        for line in lines:
            (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    signal_groups(groups, signal.SIGTERM)
    wait_for_groups(groups, time.monotonic() + GRACE_SECONDS)
    signal_groups(groups, signal.SIGKILL)


def signal_groups(groups: Iterable[int], signum: int) -> None:
    """Send a signal to every process of these groups that still lives."""
    for group in groups:
        try:
            os.killpg(group, signum)
        except ProcessLookupError:
            # Gone, or so young that it has not made its group yet.
            with contextlib.suppress(ProcessLookupError):
                os.kill(group, signum)


def wait_for_groups(groups: Iterable[int], deadline: float) -> None:
    """Return when no process of these groups is left, or at the deadline (by time.monotonic)."""
    while any(group_lives(group) for group in groups) and time.monotonic() < deadline:
        time.sleep(0.02)


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
