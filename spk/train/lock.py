"""One run in a directory at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import re
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from spk.errors import InputError

log = logging.getLogger(__name__)
# A reader of torch's loader looks every 5 s whether its run still lives; it may be in the midst of reading, too.
SECONDS_TO_NOTICE = 30.0


@contextlib.contextmanager
def locked(exp_dir: Path) -> Iterator[None]:
    """Only one run in a directory at a time: InputError names who holds it. A dead process holds none.

    The lock is the kernel's, not the file's: it ends with its process and the readers that it started, whatever the
    clock says. Readers of a run that was killed need some seconds to notice, for which they are waited for.
    """
    exp_dir.mkdir(parents=True, exist_ok=True)
    with open(exp_dir / ".lock", "a+", encoding="utf-8") as file:  # noqa: PTH123
        deadline = time.monotonic() + SECONDS_TO_NOTICE
        is_said = False
        while not try_lock(file):
            file.seek(0)
            holder = file.read().strip()
            if not is_dead(holder) or time.monotonic() > deadline:
                raise in_use(exp_dir, holder)
            if not is_said:
                log.info("%s: waiting for what is left of %s, which was killed", exp_dir, holder)
                is_said = True
            time.sleep(0.2)
        now = time.strftime("%Y-%m-%d %H:%M:%S %z")
        said = f"process {os.getpid()} on {socket.gethostname()} since {now}: {sys.argv[0]}\n"
        file.truncate(0)
        with contextlib.suppress(OSError):  # a full disk: the lock holds without its words, too
            os.write(file.fileno(), said.encode("utf-8", "surrogateescape"))
        yield


def refuse_when_in_use(exp_dir: Path) -> None:
    """InputError when a living process holds the directory: before a job is started that would begin its log anew.

    Of a job that an engine started (spk/jobs), the engine knows: it refuses a second one, and ends what a killed
    submitter has left in a queue.
    """
    if is_known_to_engine(exp_dir / "log/q/train.log"):
        return
    with contextlib.suppress(FileNotFoundError, PermissionError), (exp_dir / ".lock").open("r+") as file:
        if not try_lock(file) and not is_dead(holder := file.read().strip()):
            raise in_use(exp_dir, holder)


def is_known_to_engine(spool: Path) -> bool:
    """Whether a submitter runs the job of this spool folder (spk/jobs/spool.py), or has left it in a queue."""
    if not spool.is_dir():
        return False
    if any(folder.is_dir() and not (folder / "ended").exists() for folder in spool.iterdir()):
        return True
    with contextlib.suppress(FileNotFoundError, PermissionError), (spool / "lock").open("r+") as file:
        return not try_lock(file)
    return False


def in_use(exp_dir: Path, holder: str) -> InputError:
    return InputError(f"{exp_dir} is in use by {holder or 'another run'}; wait for it or stop it")


def try_lock(file: IO[str]) -> bool:
    """Take the lock if it is free. On a file system without locks there is nothing to take."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
    return True


def is_dead(holder: str) -> bool:
    """Whether the process that a lock file names was one of this machine and is no more."""
    match = re.match(r"process (\d+) on (\S+) ", holder)
    if not match or match[2] != socket.gethostname():
        return False
    try:
        stat = Path(f"/proc/{match[1]}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] in "ZX"  # dead, but nobody has asked yet how it ended
