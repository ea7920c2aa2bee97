"""How far a training is, by the files that it leaves, and how long what remains of several takes."""

from __future__ import annotations

import csv
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spk.config import SystemConfig

DONE, FAILED = ".run.done", ".run.failed"  # in a run's folder: with what it was made, with which status it ended


@dataclass(frozen=True)
class Progress:
    """Steps of training that are logged, of how many (None: as many as the data's epochs have), and crops a second."""

    done: bool
    step: int
    steps: int | None
    crops_per_second: float | None
    batch_size: int | None
    trained: bool
    failed: int | None  # the status of the last attempt, where it failed

    def __str__(self) -> str:
        if self.done:
            return "done"
        text = "not begun"
        if self.trained:
            text = "trained, not tested"
        elif self.step:
            text = f"step {self.step:,}" + (f" of {self.steps:,}" if self.steps else "")
        return text if self.failed is None else f"{text}; failed with status {self.failed}"

    @property
    def crops_left(self) -> int | None:
        if self.done or self.trained:
            return 0
        if self.steps is None or self.batch_size is None:
            return None
        return max(0, self.steps - self.step) * self.batch_size


def progress_of(folder: Path, config: SystemConfig, made_from: Mapping[str, Any]) -> Progress:
    """Of a run that is done when its mark says that it was `made_from` this."""
    step, rates = 0, []
    try:
        with (folder / "training.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                rate = float(row["crops_per_second"])  # the last column that each row has: the others are whole
                step = int(row["step"])
                rates.append(rate)
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not begun, or a line that is being written
    failed = read_mark(folder / FAILED)
    return Progress(
        done=read_mark(folder / DONE) == made_from,
        step=step,
        steps=config.train.steps,
        crops_per_second=statistics.median(rates) if rates else None,
        batch_size=None if config.batch.size == "auto" else config.batch.size,
        trained=(folder / "final.pt").exists(),
        failed=failed["status"] if failed else None,
    )


def read_mark(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def seconds_left(runs: Sequence[Progress], at_once: int) -> float | None:
    """Of training, with so many runs at once; None where no run has a rate yet, or a length is not known.

    A run that has none of its own is taken to go at the others' median.
    """
    known = [run.crops_per_second for run in runs if run.crops_per_second]
    if not known or any(run.crops_left is None for run in runs):
        return None
    usual = statistics.median(known)
    return sum(run.crops_left / (run.crops_per_second or usual) for run in runs) / max(1, at_once)


def time_text(seconds: float) -> str:
    """'3 h 20 min', '12 min', 'a minute'"""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "a minute"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if hours else f"{rest} min"
