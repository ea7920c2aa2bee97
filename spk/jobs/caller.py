"""The script that a job is a part of. When it is gone (killed by itself alone), nobody would take up the job's result."""

from __future__ import annotations

import os
import socket


def is_gone() -> bool:
    """Whether the outermost script, which utils/parse_options.sh names in SPK_SCRIPT, ran on this machine and is no more.

    False without one: an engine that is called by hand outlives its terminal if it was started so.
    """
    process, _, host = os.environ.get("SPK_SCRIPT", "").partition(" ")
    if not process.isdecimal() or host != socket.gethostname():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # its number went to another user's process
        return True
    return False
