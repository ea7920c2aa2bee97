"""The error rates of a system: found by its score files, kept in its results.json."""

from __future__ import annotations

import functools
import json
import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spk.backend.calibration import CALIBRATED
from spk.data.files import file_digest, whole_file, write_json
from spk.data.scores import read_scores, scores_of_trials
from spk.data.stamp import describe_inputs
from spk.data.trials import Trials, read_trials
from spk.errors import InputError
from spk.metrics.error_rates import error_rates
from spk.metrics.json_numbers import without_infinities
from spk.metrics.speaker_bootstrap import METHOD, bootstrap
from spk.metrics.summary import P_TARGETS, summary
from spk.report.speakers import enroll_models_of, found_from, speaker_tables, speakers_of_trials
from spk.report.table import COLUMNS, results_table

log = logging.getLogger(__name__)
SEED = 1  # of the resampling
DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class ScoreFile:
    """EXP/scores_<test set>_<back-end>: the scores of one system (a name), one trial list and one back-end."""

    system: str
    test_set: str
    backend: str
    path: Path
    trials: str
    directory: str = ""  # where it was scored
    enroll_models: str = ""  # the models that the trials name; '' for utterances
    has_labels: bool = True

    @property
    def utt2spk(self) -> list[Path]:
        """Who speaks, beside the trials and the models. Lists from elsewhere may have no such file there."""
        return speaker_tables(self.trials, self.enroll_models)

    def inputs(self) -> list[str]:
        """The files that its error rates depend on."""
        files = [f"{self.path}.json", os.fspath(self.path), self.trials]
        files += [self.enroll_models] * Path(self.enroll_models).is_file()
        return files + [os.fspath(path) for path in self.utt2spk]

    def read(self) -> tuple[Trials, NDArray[np.float64]]:
        """The trials and the score of each, [N]."""
        trials = read_trials_once(self.trials)
        return trials, scores_of_trials(trials, read_scores(self.path), self.trials, self.path)


@functools.lru_cache(maxsize=2)
def read_trials_once(path: str) -> Trials:
    return read_trials(path)


def find_scores(exps: Sequence[str]) -> dict[str, list[ScoreFile]]:
    """The score files of each system folder, by test set.

    A system goes by its folder's name, or its path if two share it. Scores whose inputs are others now are left out,
    and with the last of them its folder; a line each says so.
    Raises: InputError for a folder without scores, one whose scores.json cannot be read, or when nothing is left.
    """
    names = [Path(exp).resolve().name for exp in exps]
    found = {}
    for exp, name in zip(exps, names, strict=True):
        descriptions = sorted(Path(exp).glob("scores_*.json"))
        if not descriptions:
            raise InputError(f"{exp}: has no scores_*.json; score it first (steps/score)")
        system = name if names.count(name) == 1 else exp
        score_files = [describe_scores(system, path) for path in descriptions]
        if present := [scores for scores in score_files if has_labels(scores) and is_of_present_inputs(scores)]:
            found[exp] = sorted(present, key=lambda scores: scores.test_set)
    if not found:
        raise InputError(f"{', '.join(exps)}: no scores are left to report; score again")
    return found


def without_calibrated_twins(score_files: Sequence[ScoreFile]) -> list[ScoreFile]:
    """A calibration rises with the score, so that its DET curve is that of the raw scores and would hide it."""
    twins = {(scores.system, f"{CALIBRATED}{scores.backend}") for scores in score_files}
    return [scores for scores in score_files if (scores.system, scores.backend) not in twins]


def has_labels(scores: ScoreFile) -> bool:
    """Whether its trials have labels; says when not."""
    if not scores.has_labels:
        log.info("%s: left out: %s has no labels, so there are no error rates", scores.path, scores.trials)
    return scores.has_labels


def is_of_present_inputs(scores: ScoreFile) -> bool:
    """Whether the scores were made from what there is now; says why not."""
    change = change_since(scores.path, scores.directory)
    if change:
        log.warning("%s: left out: %s since it was made; score again", scores.path, change)
    return not change


def change_since(path: Path, directory: str) -> str | None:
    """What became of the inputs that the stamp of this file names, or of theirs; None for nothing, or without stamp.

    Paths in stamps are meant from `directory`, where the steps ran.
    """
    for name, digest in (read_json(stamp_of(path)) or {}).items():
        if not DIGEST.fullmatch(digest):
            continue  # an option, no file
        file = Path(found_from(directory, name))
        if not file.is_file():
            return f"{name} is gone"
        if file_digest(file) != digest:
            return f"{name} changed"
        if change := change_since(file, directory):
            return change
    return None


def stamp_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.done")


def describe_scores(system: str, json_path: Path) -> ScoreFile:
    """What a scores.json says. The test set is what the file's name says beside 'scores_' and words of the back-end."""
    try:
        description = json.loads(json_path.read_text(encoding="utf-8"))
        trials, backend = str(description["trials"]), str(description["backend"])
        directory = str(description.get("directory", ""))
        labelled = description.get("num_targets", 0) is not None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{json_path}: not written by steps/score ({error}); score again") from None
    path = json_path.with_suffix("")
    return ScoreFile(
        system,
        test_set_of(path.name.removeprefix("scores_"), backend),
        backend,
        path,
        found_from(directory, trials),
        directory,
        enroll_models_of(path),
        labelled,
    )


def test_set_of(name: str, backend: str) -> str:
    """'my_test_lda', 'my_test_lda_cosine', 'my_test_cosine_lda' of back-end 'lda_cosine' -> 'my_test'."""
    if name.endswith(f"_{backend}"):
        return name.removesuffix(f"_{backend}")
    words = re.split("[_+]", backend) + ["fusion", "quality"] * ("+" in backend)
    rest, _, last = name.rpartition("_")
    while rest and last in words:
        words.remove(last)
        name = rest
        rest, _, last = name.rpartition("_")
    return name


def results_of(
    exp: str,
    score_files: Sequence[ScoreFile],
    num_draws: int,
    quote: Callable[[ScoreFile, dict[str, Any]], dict[str, Any] | None] | None = None,
) -> list[dict[str, Any]]:
    """The rows of one system's table, each computed once until its files change; writes results.json and results.md.

    A row has system, test_set, backend, scores, trials, what spk/metrics/summary.py gives, rates as fractions and None
    for infinity, and as 'interval' what spk/metrics/speaker_bootstrap.py gives by so many draws; None for 0 draws or
    unknown speakers. With `quote` (spk/report/published.py) also 'published', what that gives.
    """
    folder = Path(exp)
    rows = [result_of(scores, num_draws) for scores in score_files]
    if quote is not None:
        rows = [row | {"published": quote(scores, row)} for scores, row in zip(score_files, rows, strict=True)]
    if read_json(folder / "results.json") != rows or not (folder / "results.md").exists():
        write_results(folder, rows, score_files[0].system)
    return rows


def result_of(scores: ScoreFile, num_draws: int) -> dict[str, Any]:
    """The row of one score file, kept in a hidden file beside it."""
    inputs = describe_inputs(scores.inputs(), {"system": scores.system, **measured_by(num_draws)})
    kept_at = scores.path.with_name(f".{scores.path.name}.result.json")
    kept = read_json(kept_at)
    if kept is not None and kept["made_from"] == inputs:
        return kept["row"]
    trials, values = scores.read()
    row = {
        "system": scores.system,
        "test_set": scores.test_set,
        "backend": scores.backend,
        "scores": os.fspath(scores.path),
        "trials": scores.trials,
        **without_infinities(summary(error_rates(values[trials.is_target], values[~trials.is_target]))),
        "interval": interval_of(scores, trials, values, num_draws) if num_draws else None,
    }
    write_json(kept_at, {"made_from": inputs, "row": row})
    return row


def measured_by(num_draws: int) -> dict[str, str]:
    """What a row depends on beside its files, for a stamp."""
    return {
        "draws": str(num_draws),
        "seed": str(SEED),
        "intervals": METHOD,
        "p_targets": ", ".join(P_TARGETS),
        "columns": ", ".join(COLUMNS),
    }


def interval_of(
    scores: ScoreFile, trials: Trials, values: NDArray[np.float64], num_draws: int
) -> dict[str, Any] | None:
    """Intervals by resampling the speakers; None where utt2spk beside the trials is missing or does not know them."""
    if not scores.utt2spk:
        return None
    try:
        enroll, test = speakers_of_trials(trials, scores.utt2spk, scores.enroll_models)
    except InputError as error:
        log.info("%s: no intervals: %s", scores.trials, error)
        return None
    return bootstrap(values, trials.is_target, enroll, test, num_draws, SEED)


def read_json(path: Path) -> Any:
    """None where there is no such file, or a damaged one."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def write_results(folder: Path, rows: Sequence[dict[str, Any]], title: str) -> None:
    """results.json and results.md."""
    write_json(folder / "results.json", rows)
    with whole_file(folder / "results.md") as file:
        file.write(results_table(rows, title))
