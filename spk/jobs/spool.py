"""The folder q/<name of the log> beside a job's logs: who runs the job now, and what earlier calls of it have left.

No two calls write the same logs, whatever their engines: each holds the lock, and sees what others left in a queue.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from spk.errors import InputError
from spk.jobs.guardian import GRACE_SECONDS
from spk.jobs.job import Job

# A call that was killed holds the lock until its tasks have ended.
LOCK_PATIENCE = GRACE_SECONDS + 1


def spool_folder(job: Job) -> Path:
    """q/<name of the log> beside the logs, or beside their folders where each task has its own."""
    parts = Path(job.log).parts
    common = len(parts) - 1
    if job.variable:
        common = next((place for place, part in enumerate(parts) if job.variable in part), common)
    return Path(*parts[:common]) / "q" / ".".join(parts[common:])


@contextlib.contextmanager
def alone(job: Job) -> Iterator[None]:
    """Hold the lock of this job: its logs belong to one call at a time. (Not on file systems without locks.)"""
    spool = spool_folder(job)
    path = spool / "lock"
    deadline = time.monotonic() + LOCK_PATIENCE
    with contextlib.ExitStack() as stack:
        while True:
            late = time.monotonic() > deadline
            try:
                spool.mkdir(parents=True, exist_ok=True)
                lock = stack.enter_context(path.open("a+"))
            except FileNotFoundError:  # another call is tidying up
                if late:
                    raise
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                holder = lock.read().strip()
                if late:
                    raise InputError(f"{job.log}: {holder} runs this very job; wait for it, or end it") from None
                lock.close()
                time.sleep(0.2)
                continue
            except OSError:
                pass
            if path.exists() and path.stat().st_ino == os.fstat(lock.fileno()).st_ino:
                break  # else the holder before us has just tidied up
            lock.close()
        with contextlib.suppress(OSError):  # a full disk
            lock.truncate(0)
            os.write(lock.fileno(), f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # another job's folders may be there
                if not any(entry.is_dir() for entry in spool.iterdir()):
                    path.unlink()
                    lock.close()  # a network file system keeps what is open in the folder
                    spool.rmdir()
                    spool.parent.rmdir()


def leftovers(job: Job, engine: str) -> list[Path]:
    """The folders of arrays that earlier calls left and that may be in this engine's queue still; others are removed.

    InputError when another engine may still run the job.
    """
    left = []
    for folder in sorted(path for path in spool_folder(job).iterdir() if path.is_dir()):
        if (folder / "ended").exists() or not (folder / "job.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            continue
        owner = engine_of(folder)
        if owner != engine:
            raise InputError(
                f"{job.log}: an earlier call with {owner} may have left this job in its queue; the same call with "
                f"{owner} cancels it; or see that it is gone, and delete {folder}"
            )
        left.append(folder)
    return left


def mark_ended(folder: Path) -> None:
    """Nothing of this array is in the queue any more. (Where it cannot be marked, the queue is asked again.)"""
    with contextlib.suppress(OSError):
        (folder / "ended").touch()


def engine_of(folder: Path) -> str:
    try:
        return json.loads((folder / "job.json").read_text())["engine"]
    except (OSError, ValueError, KeyError):
        return "another engine"
