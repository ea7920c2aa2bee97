"""Run a tool of a queue without hanging with it: it may take no longer than it is given, and a signal need not wait."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

from spk.errors import InputError
from spk.jobs.cluster import Interrupted, QueueSilent


def ask(
    words: Sequence[str],
    queue: str,
    timeout: float,
    interruptible: bool = True,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """What a tool of `queue` says. QueueSilent after `timeout` seconds, Interrupted by a pending signal."""
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    try:
        process = subprocess.Popen(words, **streams, encoding="utf-8", errors="replace", env=environment)
    except FileNotFoundError:
        raise InputError(f"{words[0]}: no such command; is this a machine from which one submits to {queue}?") from None
    deadline = time.monotonic() + timeout
    while True:
        try:
            output, errors = process.communicate(timeout=0.5)
            return subprocess.CompletedProcess(words, process.returncode, output, errors)
        except subprocess.TimeoutExpired:
            interrupted = interruptible and signal.sigpending() & {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
            if not interrupted and time.monotonic() < deadline:
                continue
            process.kill()
            process.communicate()
            if interrupted:
                raise Interrupted from None
            raise QueueSilent(f"{words[0]} did not come back within {timeout:.0f} seconds") from None
