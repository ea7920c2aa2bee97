"""What training says of itself: a CSV of every logged value, TensorBoard, and a progress bar or plain lines."""

from __future__ import annotations

import csv
import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spk.data.files import named, whole_file

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 10.0


class StepRows:
    """A CSV file with a row for each of some steps; a resumed run drops the rows that it makes again."""

    def __init__(self, path: Path, columns: Sequence[str], step: int) -> None:
        self.path, self.columns = path, ["step", *columns]
        self._keep_until(step)
        self.file = open(self.path, "a", newline="", encoding="utf-8")  # noqa: SIM115, PTH123 (open as long as the run)
        self.writer = csv.DictWriter(self.file, self.columns)

    def _keep_until(self, step: int) -> None:
        rows = []
        if self.path.exists():
            with open(self.path, newline="", encoding="utf-8") as file:  # noqa: PTH123
                rows = [row for row in csv.DictReader(file) if row["step"].isdigit() and int(row["step"]) <= step]
        with whole_file(self.path) as file:
            writer = csv.DictWriter(file, self.columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        with named(self.path):
            self.writer.writerow({"step": step} | values)
            self.file.flush()

    def close(self) -> None:
        with named(self.path):
            self.file.close()


class Logbook:
    """One row of training.csv for each logged step, and with `num_bins` one of cosines.csv: counts of cosines."""

    def __init__(self, directory: Path, columns: Sequence[str], step: int, total_steps: int, num_bins: int = 0) -> None:
        self.rows = StepRows(directory / "training.csv", columns, step)
        self.cosines = StepRows(directory / "cosines.csv", [*map(str, range(num_bins))], step) if num_bins else None
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            log.info("no TensorBoard here: %s holds all that it would show", self.rows.path)
            self.board = None
        else:
            self.board = SummaryWriter(os.fspath(directory / "tensorboard"), purge_step=step + 1)
        self.total_steps = total_steps
        self.bar = progress_bar(total_steps, step) if sys.stderr.isatty() else None
        self.last_line = -SECONDS_BETWEEN_LINES

    def advance(self, step: int) -> None:
        if self.bar is not None:
            self.bar.update(step - self.bar.n)

    def record(self, step: int, cosines: Sequence[int], **values: float) -> None:
        """Log values at a step; they show on the bar, or as a line now and then."""
        self.rows.write(step, {name: f"{value:.6g}" for name, value in values.items()})
        if self.cosines is not None:
            self.cosines.write(step, {str(number): count for number, count in enumerate(cosines)})
        if self.board is not None:
            with named(self.board.log_dir):
                for name, value in values.items():
                    self.board.add_scalar(name, value, step)
        text = " ".join(f"{name} {value:.4g}" for name, value in values.items())
        if self.bar is not None:
            self.bar.set_postfix_str(text)
        elif time.monotonic() - self.last_line >= SECONDS_BETWEEN_LINES or "validation_eer" in values:
            self.last_line = time.monotonic()
            log.info("step %d of %d: %s", step, self.total_steps, text)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
        self.rows.close()
        if self.cosines is not None:
            self.cosines.close()
        if self.board is not None:
            with named(self.board.log_dir):
                self.board.close()


def progress_bar(total_steps: int, step: int) -> Any | None:
    """tqdm's bar, or None where tqdm is not installed: plain lines do, too."""
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=total_steps, initial=step, unit="step", dynamic_ncols=True)
