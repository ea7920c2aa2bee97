"""Start a recipe, and kill it with all that it has started, or let it wait for another."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
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


def waits_for(
    folder: Path, command: Sequence[str | os.PathLike[str]], cwd: Path, env: dict[str, str] | None = None
) -> list[str]:
    """Run `command` while another holds the lock of `folder`: the lines that it says, once it waited and succeeded."""
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        process = subprocess.Popen(command, cwd=cwd, env=env, stderr=subprocess.PIPE, text=True)
        lines = list(iter_until(process.stderr, "waiting for another call"))
        assert process.poll() is None
    finally:
        os.close(descriptor)
    lines += process.stderr.readlines()
    process.stderr.close()
    assert process.wait() == 0, lines
    return lines


def iter_until(lines: Iterable[str], words: str) -> Iterator[str]:
    """Up to the first line with these words; fails when there is none."""
    for line in lines:
        yield line
        if words in line:
            return
    raise AssertionError(f"ended without saying {words!r}")
