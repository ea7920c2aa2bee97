"""Equal error rates that papers publish, and how a row of the table of results is set beside one."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spk.errors import InputError
from spk.report.deviations import evaluation_deviations, training_deviations
from spk.report.results import ScoreFile

log = logging.getLogger(__name__)
COLUMNS = ["system", "training", "list", "backend", "trials", "eer", "source", "remark"]


@dataclass(frozen=True)
class Published:
    """An equal error rate, as a fraction, by a back-end on a list of so many trials; where it stands, and a remark."""

    backend: str
    trials: int
    eer: float
    source: str
    remark: str


# (system, training set, list) -> what is published for it
PublishedTable = dict[tuple[str, str, str], Published]


def read_published(path: str | os.PathLike[str]) -> PublishedTable:
    """Read a table whose columns, between tabs, are COLUMNS; rates in %; lines that begin with '#' are comments.

    Raises: InputError with file and line.
    """
    try:
        lines = list(enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file") from None
    rows = [(number, line.split("\t")) for number, line in lines if line and not line.startswith("#")]
    if not rows or rows[0][1] != COLUMNS:
        raise InputError(f"{path}: its first line must be, between tabs: {' '.join(COLUMNS)}")
    table: PublishedTable = {}
    for number, cells in rows[1:]:
        try:
            system, training, test_set, backend, trials, eer, source, remark = cells
            published = Published(backend, int(trials), float(eer) / 100, source, remark)
        except ValueError:
            raise InputError(f"{path}:{number}: not {len(COLUMNS)} columns, or trials or eer no number") from None
        if not 0 <= published.eer <= 1:
            raise InputError(f"{path}:{number}: {eer} is no error rate in %")
        if (system, training, test_set) in table:
            raise InputError(f"{path}:{number}: {system}, {training}, {test_set} stands in an earlier line, too")
        table[system, training, test_set] = published
    return table


def config_of(published: str | os.PathLike[str], system: str) -> Path:
    """The config of a system of the table `published`."""
    return Path(published).parent / "conf" / f"{system}.yaml"


def quoter(
    path: str | os.PathLike[str], system: str, training: str, model: Path
) -> Callable[[ScoreFile, dict[str, Any]], dict[str, Any] | None]:
    """For a score file and its row: eer, source and remark of what `path` has for it, and as 'differs' what
    makes the row another experiment; None where nothing is published for that list and back-end.

    `model` is the trained system, and the configs are in the folder conf beside `path`. Says when nothing at all is
    published for the system on the training set.
    """
    table = read_published(path)
    if not any(key[:2] == (system, training) for key in table):
        log.info("%s: nothing is published as %s,%s", path, system, training)
        return lambda scores, row: None
    config = config_of(path, system)
    of_training = training_deviations(model, config, training)

    def quote(scores: ScoreFile, row: dict[str, Any]) -> dict[str, Any] | None:
        published = table.get((system, training, scores.test_set))
        if published is None or published.backend != scores.backend:
            return None
        trials = row["num_targets"] + row["num_nontargets"]
        differs = trials_deviations(trials, published.trials) + of_training + evaluation_deviations(scores, config)
        return {
            "eer": published.eer,
            "source": published.source,
            "remark": published.remark,
            "differs": differs,
        }

    return quote


def trials_deviations(trials: int, published: int) -> list[str]:
    return [] if trials == published else [f"this list has {trials:,} trials, the published one {published:,}"]
