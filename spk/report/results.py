"""The error rates of a system: found by its score files, kept in its results.json."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spk.data.files import whole_file
from spk.data.scores import read_scores, scores_of_trials
from spk.data.stamp import describe_inputs, differences, write_stamp
from spk.data.trials import Trials, read_trials
from spk.errors import InputError
from spk.metrics.error_rates import error_rates
from spk.metrics.summary import summary
from spk.report.table import COLUMNS, results_table


@dataclass(frozen=True)
class ScoreFile:
    """EXP/scores_<test set>_<back-end>: the scores of one system (a name), one trial list and one back-end."""

    system: str
    test_set: str
    backend: str
    path: Path
    trials: str

    def inputs(self) -> list[str]:
        """The files that its error rates depend on. A stamp stands for the scores: it is shorter to read."""
        stamp = self.path.with_name(f".{self.path.name}.done")
        return [f"{self.path}.json", os.fspath(stamp if stamp.exists() else self.path), self.trials]

    def split(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The scores of its target trials and of its non-target trials."""
        trials = read_trials_once(self.trials)
        values = scores_of_trials(trials, read_scores(self.path), self.trials, self.path)
        return values[trials.is_target], values[~trials.is_target]


@functools.lru_cache(maxsize=2)
def read_trials_once(path: str) -> Trials:
    return read_trials(path)


def find_scores(exps: Sequence[str]) -> dict[str, list[ScoreFile]]:
    """The score files of each system folder, sorted. A system goes by its folder's name, or its path if two share it.

    Raises: InputError for a folder without scores, or one whose scores.json cannot be read.
    """
    names = [Path(exp).resolve().name for exp in exps]
    found = {}
    for exp, name in zip(exps, names, strict=True):
        descriptions = sorted(Path(exp).glob("scores_*.json"))
        if not descriptions:
            raise InputError(f"{exp}: has no scores_*.json; score it first (steps/score)")
        system = name if names.count(name) == 1 else exp
        found[exp] = [describe_scores(system, path) for path in descriptions]
    return found


def describe_scores(system: str, json_path: Path) -> ScoreFile:
    """What a scores.json says. The test set is what the file's name says beside 'scores_' and the back-end."""
    try:
        description = json.loads(json_path.read_text(encoding="utf-8"))
        trials, backend = str(description["trials"]), str(description["backend"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{json_path}: not written by steps/score ({error}); score again") from None
    path = json_path.with_suffix("")
    test_set = path.name.removeprefix("scores_")
    for ending in (backend, *backend.split("_")):
        test_set = test_set.removesuffix(f"_{ending}")
    return ScoreFile(system, test_set, backend, path, trials)


def results_of(exp: str, score_files: Sequence[ScoreFile]) -> list[dict[str, Any]]:
    """The rows of one system's table, computed unless EXP/results.json already has them; writes results.json and .md.

    A row has system, test_set, backend, scores, trials, and what spk/metrics/summary.py gives, rates as fractions.
    """
    folder = Path(exp)
    inputs = describe_inputs(
        [path for scores in score_files for path in scores.inputs()],
        {"system": score_files[0].system, "columns": ", ".join(COLUMNS)},
    )
    if differences(folder / ".results.done", inputs) == [] and (folder / "results.json").exists():
        return json.loads((folder / "results.json").read_text(encoding="utf-8"))
    rows = [
        {
            "system": scores.system,
            "test_set": scores.test_set,
            "backend": scores.backend,
            "scores": os.fspath(scores.path),
            "trials": scores.trials,
            **summary(error_rates(*scores.split())),
        }
        for scores in score_files
    ]
    write_results(folder, rows, score_files[0].system)
    write_stamp(folder / ".results.done", inputs)
    return rows


def write_results(folder: Path, rows: Sequence[dict[str, Any]], title: str) -> None:
    """results.json and results.md."""
    with whole_file(folder / "results.json") as file:
        json.dump(rows, file, indent=1)
        file.write("\n")
    with whole_file(folder / "results.md") as file:
        file.write(results_table(rows, title))
