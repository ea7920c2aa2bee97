"""Show the lines of a log that match as they are written, until the standard input ends or the caller is gone.

Usage: python3 -m spk.bin.follow_log LOG PATTERN [INODE SIZE] < PIPE
LOG may come, or be begun anew, meanwhile. Its first SIZE bytes are not shown while it is the file INODE.
"""

from __future__ import annotations

import os
import re
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

SECONDS = 0.2  # between two looks


def main() -> None:
    path, pattern, *known = sys.argv[1:]
    pattern = re.compile(pattern.encode())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller's affair, who then ends the input
    caller, lines = os.getppid(), Lines(Path(path), *map(int, known))
    is_ended = False
    while not is_ended:
        # Nothing is ever written there. A caller that was killed may leave the pipe open in its job's hands.
        is_ended = bool(select.select([sys.stdin], [], [], SECONDS)[0]) or os.getppid() != caller
        for line in lines.new(with_last=is_ended):
            if pattern.search(line):
                sys.stderr.buffer.write(line + b"\n")
        sys.stderr.flush()


class Lines:
    """Of a file that grows: what was added since they were last asked for."""

    def __init__(self, path: Path, inode: int = 0, size: int = 0) -> None:
        self.path = path
        self.read = inode, size  # of which file how much
        self.rest = b""

    def new(self, with_last: bool) -> Iterator[bytes]:
        """Whole lines; `with_last`: and one without an end. None while there is no such file."""
        inode, place = self.read
        try:
            with self.path.open("rb") as log:
                found = os.fstat(log.fileno())
                if found.st_ino != inode or found.st_size < place:  # another file, or one that was emptied
                    place, self.rest = 0, b""
                log.seek(place)
                added = log.read()
        except FileNotFoundError:
            added = b""
        else:
            self.read = found.st_ino, place + len(added)
        *lines, self.rest = (self.rest + added).split(b"\n")
        yield from lines
        if with_last and self.rest:
            yield self.rest


if __name__ == "__main__":
    main()
