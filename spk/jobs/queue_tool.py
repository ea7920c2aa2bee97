"""Run a tool of a queue without hanging with it: it may take no longer than it is given, and a signal need not wait."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spk.errors import InputError
from spk.jobs.cluster import Interrupted, QueueFull, QueueSilent

Done = subprocess.CompletedProcess
# What qsub and sbatch say when a user has as many jobs in the queue as the site allows.
FULL = re.compile(r"only \d+ jobs are allowed|MaxSubmitJob")


@dataclass(frozen=True)
class QueueTool:
    """The tools of one queue. `silent`: what they say when it does not answer for the moment; `clutter`: no words."""

    queue: str
    silent: re.Pattern[str]
    clutter: re.Pattern[str]

    def __call__(
        self,
        words: Sequence[str],
        timeout: float = 60,
        interruptible: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> Done[str]:
        """What a tool says. QueueSilent when the queue does not answer it, Interrupted by a pending signal.

        QueueFull when a user may not have more jobs in the queue now.
        """
        done = self.ask(words, timeout, interruptible, environment)
        if done.returncode != 0 and FULL.search(done.stderr):
            raise QueueFull(self.said(done))
        if done.returncode != 0 and self.silent.search(done.stderr):
            raise QueueSilent(self.said(done))
        return done

    def ask(
        self, words: Sequence[str], timeout: float, interruptible: bool, environment: Mapping[str, str] | None
    ) -> Done[str]:
        if interruptible:
            look_at_signals()
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        try:
            process = subprocess.Popen(words, **streams, encoding="utf-8", errors="replace", env=environment)
        except FileNotFoundError:
            where = f"is this a machine from which one submits to {self.queue}?"
            raise InputError(f"{words[0]}: no such command; {where}") from None
        deadline = time.monotonic() + timeout
        while True:
            try:
                output, errors = process.communicate(timeout=0.5)
                return Done(words, process.returncode, output, errors)
            except subprocess.TimeoutExpired:
                try:
                    if interruptible:
                        look_at_signals()
                    if time.monotonic() > deadline:
                        raise QueueSilent(f"{words[0]} did not come back within {timeout:.0f} seconds") from None
                except (Interrupted, QueueSilent):
                    process.kill()
                    process.communicate()
                    raise

    def said(self, done: Done[str]) -> str:
        """What a tool said, in one line; of its output only where it gave no error."""
        for text in (done.stderr, done.stdout):
            lines = [self.clutter.sub("", line).strip().rstrip(".") for line in text.splitlines()]
            if words := "; ".join(dict.fromkeys(line for line in lines if line)):
                return words
        return f"status {done.returncode}"


def look_at_signals() -> None:
    """Interrupted when one that asks to stop is pending; it stays so."""
    if signal.sigpending() & {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}:
        raise Interrupted
