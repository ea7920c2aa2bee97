"""The log of a task, in Kaldi's form: a head of comments, what the command prints, a foot with its status."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path

TAIL_LINES = 20
FULL = 2**14  # bytes that are free of a disk that was full: what held the job's own files is free again


def open_log(log: str, argv: Sequence[str]) -> int:
    """Begin a task's log anew, with its folder, and write the head; the descriptor that its output goes to."""
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    log_file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o666)
    head = f"# {shlex.join(argv)}\n# Running on {socket.gethostname()}\n# Started at {now()}\n#\n"
    try:
        os.write(log_file, head.encode("utf-8", "surrogateescape"))
    except OSError as error:  # which does not say of which file
        raise OSError(error.errno, error.strerror, log) from None
    return log_file


def close_log(log_file: int, details: str, seconds: int, threads: str) -> None:
    """Write the foot: `details` are as 'code 0'."""
    lines = f"# Accounting: time={seconds} threads={threads}\n"
    lines += f"# Ended ({details}) at {now()}, elapsed time {seconds} seconds\n"
    # A full disk must not cost the status.
    with contextlib.suppress(OSError):
        os.write(log_file, lines.encode())
    os.close(log_file)


def keep_old_log(log: str) -> str:
    """Before a task is started again: what it said stays as LOG.1, LOG.2, ...; returns that name."""
    number = 1
    while Path(f"{log}.{number}").exists():
        number += 1
    with contextlib.suppress(FileNotFoundError):
        Path(log).replace(f"{log}.{number}")
    return f"{log}.{number}"


def now() -> str:
    return time.strftime("%a %b %e %H:%M:%S %Z %Y")


def signal_name(exit_code: int) -> str:
    """' (SIGKILL)' for -9, '' when no signal ended the task."""
    if exit_code >= 0:
        return ""
    try:
        return f" ({signal.Signals(-exit_code).name})"
    except ValueError:  # a real-time signal
        return f" (signal {-exit_code})"


def tail(path: str | os.PathLike[str]) -> str:
    """The last lines of a log, indented; of a line that was drawn over (a progress bar) its last state."""
    try:
        with Path(path).open("rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - 65536, 0))
            lines = file.read().decode("utf-8", "replace").rstrip("\n").split("\n")
            disk = os.fstatvfs(file.fileno())
    except OSError as error:
        return f"  (unreadable: {error.strerror})"
    if not lines[-1].startswith("# Ended") and disk.f_bavail * disk.f_frsize < FULL:
        lines.append("(what came then is lost, for the disk is full)")
    return "\n".join("  " + line.rstrip("\r").rsplit("\r", 1)[-1] for line in lines[-TAIL_LINES:])
