"""Start a recipe, and kill it with all that it has started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path


def descendants(pid: int) -> list[int]:
    """`pid` and every process that it, or one of them, has started (Linux)."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    family = [pid]
    for member in family:
        family += [child for child, parent in parents.items() if parent == member]
    return family


def kill_when(process: subprocess.Popen, happened: Callable[[], bool], timeout: float = 120) -> None:
    """SIGKILL `process` and its descendants as soon as `happened()`; fails when it ends before, or the time is over."""
    end = time.monotonic() + timeout
    while not happened():
        if process.poll() is not None:
            raise AssertionError(f"ended with status {process.returncode} before it could be killed")
        if time.monotonic() > end:
            raise AssertionError(f"nothing to be seen after {timeout} s")
        time.sleep(0.005)
    stopped: list[int] = []
    while fresh := [pid for pid in descendants(process.pid) if pid not in stopped]:
        for pid in fresh:  # stopped first, so that none of them can start another meanwhile
            send(pid, signal.SIGSTOP)
        stopped += fresh
    for pid in stopped:
        send(pid, signal.SIGKILL)
    process.wait()


def send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
