"""How far a long pass over data is: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import logging
import sys
import time

from tqdm import tqdm

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 30


class Progress:
    """`with Progress("diag 1 of 4", 1000, "utt") as progress: progress.update(10)`"""

    def __init__(self, what: str, total: int, unit: str) -> None:
        self.what, self.total, self.unit, self.done = what, total, unit, 0
        self.bar = tqdm(total=total, desc=what, unit=unit, leave=False, disable=not sys.stderr.isatty())
        self.began = self.said = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def update(self, count: int) -> None:
        self.done += count
        self.bar.update(count)
        now = time.monotonic()
        if self.bar.disable and now - self.said >= SECONDS_BETWEEN_LINES:
            self.said = now
            log.info("%s: %d of %d %s, %.0f s", self.what, self.done, self.total, self.unit, self.seconds)
