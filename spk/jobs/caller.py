"""The script that a job is a part of: when it was killed by itself alone, nobody waits for the job any more."""

from __future__ import annotations

import os
import socket

VARIABLE = "SPK_SCRIPT"  # utils/parse_options.sh names the outermost script in it: "PROCESS HOST"


class Caller:
    """The outermost script. It never goes where there is none (a job started by hand), or not one of ours here."""

    def __init__(self) -> None:
        process, _, host = os.environ.get(VARIABLE, "").partition(" ")
        is_here = process.isdecimal() and host == socket.gethostname() and lives(int(process))
        self.process = int(process) if is_here else None
        self.words = f"the script that started this, process {process}, is no more"

    def has_just_gone(self) -> bool:
        """True once, when the script is no more."""
        if self.process is None or lives(self.process):
            return False
        self.process = None
        return True


def lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # its number has gone to another user's process
        return False
    return True
