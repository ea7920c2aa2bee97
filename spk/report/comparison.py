"""The table of a grid: each system over its seeds, tested against the reference; Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spk.backend import BACKENDS
from spk.backend.calibration import CALIBRATED
from spk.config import SystemConfig
from spk.data.data_dir import first_names
from spk.data.files import file_digest, whole_file, write_json
from spk.errors import InputError
from spk.metrics.json_numbers import without_infinities
from spk.metrics.over_seeds import compare_draws
from spk.report.draws import draws_of
from spk.report.grid import Grid, folder_of
from spk.report.progress import DONE, FAILED, progress_of, read_mark
from spk.report.results import ScoreFile, find_scores
from spk.report.table import NOT_KNOWN, is_log_likelihood_ratio, markdown_table

log = logging.getLogger(__name__)

Group = tuple[str, str]  # a test set and a back-end
P_TARGET = "0.01"  # of the minDCF that tables show; results.json has the others


@dataclass(frozen=True)
class Row:
    """A system on a test set by a back-end: what spk/metrics/over_seeds.py says, or None where no run has scores."""

    system: str
    test_set: str
    backend: str
    result: Mapping[str, Any] | None
    seeds_wanted: int
    failed: int = 0
    minutes: float | None = None  # of training, on average

    def cells(self) -> list[str]:
        state = f"{self.result['num_seeds'] if self.result else 0} of {self.seeds_wanted}"
        if self.failed:
            state += f", {self.failed} failed"
        texts = [self.system, self.test_set, self.backend, state]
        time = NOT_KNOWN if self.minutes is None else f"{self.minutes:.0f}"
        if self.result is None:
            return [*texts, *[NOT_KNOWN] * (len(HEADINGS) - len(texts) - 1), time]
        eer, cost, cllr = self.result["eer"], self.result["min_dcf"][P_TARGET], self.result["cllr"]
        shows_cllr = is_log_likelihood_ratio(self.backend)
        return [
            *texts,
            mean_cell(eer, 100, 2),
            interval_cell(eer["interval"], 100, 2),
            difference_cell(eer, 100, 2),
            interval_cell(eer["difference_interval"], 100, 2, signed=True),
            p_cell(eer["p_holm"]),
            mean_cell(cost, 1, 4),
            p_cell(cost["p_holm"]),
            mean_cell(self.result["min_cllr"], 1, 4),
            mean_cell(cllr, 1, 4) if shows_cllr else NOT_KNOWN,
            time,
        ]


HEADINGS = (
    "System",
    "Test set",
    "Back-end",
    "Seeds",
    "EER %",
    "95 % interval",
    "Difference",
    "its 95 % interval",
    "p",
    f"minDCF({P_TARGET})",
    "p of it",
    "minCllr",
    "Cllr",
    "Minutes",
)
NUM_TEXT_COLUMNS = 4


def mean_cell(number: Mapping[str, Any], factor: float, digits: int) -> str:
    """'5.21 ± 0.13', the deviation over seeds where there are several."""
    mean = f"{factor * number['mean']:.{digits}f}"
    return mean if number["deviation"] is None else f"{mean} ± {factor * number['deviation']:.{digits}f}"


def interval_cell(limits: Sequence[float] | None, factor: float, digits: int, signed: bool = False) -> str:
    if limits is None:
        return NOT_KNOWN
    sign = "+" if signed else ""
    return " to ".join(f"{factor * limit:{sign}.{digits}f}" for limit in limits)


def difference_cell(number: Mapping[str, Any], factor: float, digits: int) -> str:
    return NOT_KNOWN if number["difference"] is None else f"{factor * number['difference']:+.{digits}f}"


def p_cell(p: float | None) -> str:
    if p is None:
        return NOT_KNOWN
    return "<0.0001" if p < 1e-4 else f"{p:.4f}"


def in_markdown(rows: Sequence[Row]) -> str:
    return markdown_table(HEADINGS, [row.cells() for row in rows], NUM_TEXT_COLUMNS)


def in_csv(rows: Sequence[Row]) -> str:
    """The same cells, with commas between."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([HEADINGS, *(row.cells() for row in rows)])
    return text.getvalue()


LATEX = str.maketrans({"%": r"\%", "_": r"\_", "&": r"\&", "#": r"\#", "±": r"$\pm$", "<": "$<$", ">": "$>$"})


def in_latex(rows: Sequence[Row]) -> str:
    """A tabular of booktabs' rules; a rule between test sets."""
    lines = [rf"\begin{{tabular}}{{{'l' * NUM_TEXT_COLUMNS}{'r' * (len(HEADINGS) - NUM_TEXT_COLUMNS)}}}", r"\toprule"]
    lines += [latex_line(HEADINGS), r"\midrule"]
    for before, row in zip([None, *rows], rows, strict=False):
        if before is not None and (before.test_set, before.backend) != (row.test_set, row.backend):
            lines.append(r"\midrule")
        lines.append(latex_line(row.cells()))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def latex_line(cells: Sequence[str]) -> str:
    return " & ".join(cell.translate(LATEX) for cell in cells) + r" \\"


@dataclass(frozen=True)
class Comparison:
    """All rows, and what they came from."""

    grid: Grid
    rows: list[Row]
    made_from: dict[str, Any]
    scores: Mapping[Group, Mapping[str, Sequence[ScoreFile]]]  # {...: {system: of each seed}}
    folders: Mapping[str, Sequence[Path]]  # {system: where each seed that is done was trained}
    configs: Mapping[str, SystemConfig]
    missing: str = ""  # which runs have no scores, counted and named

    def markdown(self) -> str:
        lines = [f"- {name}: {value}\n" for name, value in self.made_from.items() if isinstance(value, str)]
        missing = f"{self.missing}\n" if self.missing else ""
        return f"# Comparison\n\n{in_markdown(self.rows)}\n{EXPLANATION}{missing}\n{''.join(lines)}"


EXPLANATION = """\
Mean ± standard deviation over seeds. Intervals and differences to the reference are over other speakers and other seeds
(of one seed over speakers alone); p is two-sided, Holm's for all systems of a test set and back-end together.
"""


def compare_grid(
    grid: Grid,
    exp: str | os.PathLike[str],
    num_draws: int,
    overrides: tuple[str, ...] = (),
    models: str | os.PathLike[str] = "",
) -> Comparison:
    """Of the runs that are done.

    `overrides`: what the command line changed for all systems; `models`: where runs of the same names were trained, if
    not in `exp` but in another comparison of this grid.
    Raises: InputError where none has scores, or where runs saw other data than the first.
    """
    runs = {run: folder_of(exp, *run) for run in grid.runs()}
    trained = {run: folder_of(models or exp, *run) for run in grid.runs()}
    scored = {run: folder for run, folder in runs.items() if (folder / DONE).exists()}
    if not scored:
        raise InputError(f"{exp}: no run of {grid.path} is done yet; its logs are in {exp}/log")
    check_same_data([trained[run] for run in scored])
    found = find_scores([str(folder) for folder in scored.values()])
    configs = {system.name: system.load(grid.seeds[0], overrides) for system in grid.systems}
    groups: dict[Group, dict[str, list[ScoreFile]]] = {}
    for (system, _), folder in scored.items():
        for scores in found.get(str(folder), []):
            row = scores.test_set, row_of(scores.backend, configs[system.name])
            groups.setdefault(row, {}).setdefault(system.name, []).append(scores)
    done = {
        system.name: [trained[run] for run in scored if run[0] == system and trained[run].is_dir()]
        for system in grid.systems
    }
    minutes = {
        name: mean_of_known([minutes_of(folder, configs[name]) for folder in folders]) for name, folders in done.items()
    }
    failed = {
        system.name: sum((runs[system, seed] / FAILED).exists() for seed in grid.seeds) for system in grid.systems
    }
    rows = []
    for number, ((test_set, backend), systems) in enumerate(groups.items(), start=1):
        num_runs = sum(map(len, systems.values()))
        log.info("%s, %s (%d of %d): %d runs, %d draws", test_set, backend, number, len(groups), num_runs, num_draws)
        results = compare_group(systems, grid.reference, num_draws)
        rows += [
            Row(name, test_set, backend, results.get(name), len(grid.seeds), failed[name], minutes[name])
            for name in configs
        ]
    told = provenance(grid, scored.values(), [trained[run] for run in scored], num_draws)
    return Comparison(grid, rows, told, groups, done, configs, without_scores(runs, scored))


def without_scores(runs: Mapping[Any, Path], scored: Mapping[Any, Path]) -> str:
    """One sentence; '' where all have scores."""
    names = [
        folder.name + " (failed)" * (folder / FAILED).exists() for run, folder in runs.items() if run not in scored
    ]
    return f"{len(names)} of {len(runs)} runs have no scores: {first_names(names)}." if names else ""


def row_of(backend: str, config: SystemConfig) -> str:
    """'own_as' of 'cosine_as', 'calibrated_own' of 'calibrated_cosine' where the config names cosine: it may differ."""
    own = BACKENDS.build("evaluation.backend", config.evaluation.backend, **dict.fromkeys(BACKENDS.given)).label
    calibrated = CALIBRATED if backend.startswith(CALIBRATED) else ""
    scored = backend.removeprefix(calibrated)
    if scored == own or scored.startswith(f"{own}_"):
        scored = "own" + scored.removeprefix(own)
    return calibrated + scored


def compare_group(systems: Mapping[str, list[ScoreFile]], reference: str, num_draws: int) -> dict[str, dict[str, Any]]:
    """compare_draws of score files of one trial list. Without the reference, each system is its own."""
    check_same_trials([scores for files in systems.values() for scores in files])
    draws = {name: [draws_of(scores, num_draws) for scores in files] for name, files in systems.items()}
    if reference in draws:
        return compare_draws(draws, reference)
    trials = next(iter(systems.values()))[0].trials
    log.warning("%s: the reference %s has no scores yet: no differences", trials, reference)
    return {name: compare_draws({name: own}, name)[name] for name, own in draws.items()}


def check_same_trials(several: Sequence[ScoreFile]) -> None:
    """InputError for score files of other trials, or of other speakers in them, than the first."""
    first = several[0]
    digests = {
        path: file_digest(path) for path in {str(path) for one in several for path in (one.trials, *one.utt2spk)}
    }
    for scores in several:
        for wanted, path in zip((first.trials, *first.utt2spk), (scores.trials, *scores.utt2spk), strict=False):
            if digests[str(path)] != digests[str(wanted)]:
                raise InputError(
                    f"{scores.path}: is of {path}, and {first.path} of {wanted}, which is another one; score both on "
                    "the same list"
                )


def check_same_data(folders: Sequence[Path]) -> None:
    """InputError that names runs that were trained on other data; says so where that is not known."""
    told = {folder: read_mark(folder / "run.json") for folder in folders}
    if missing := [folder for folder, run in told.items() if not run]:
        log.warning(
            "%s: no readable run.json (%d of %d runs): on which data they were trained is not known",
            *(missing[0], len(missing), len(folders)),
        )
    digests = {folder: run.get("data_digests") for folder, run in told.items() if run}
    first = next(iter(digests), None)
    if odd := [str(folder) for folder in digests if digests[folder] != digests[first]]:
        raise InputError(f"trained on other data than {first}: {', '.join(odd)}; remove them, and run them again")


def minutes_of(folder: Path, config: SystemConfig) -> float | None:
    """Of training, by its steps and its usual rate."""
    progress = progress_of(folder, config, {})
    if progress.crops_per_second and progress.batch_size:
        return progress.step * progress.batch_size / progress.crops_per_second / 60
    return None


def mean_of_known(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return sum(known) / len(known) if known else None


def provenance(grid: Grid, runs: Sequence[Path], trained: Sequence[Path], num_draws: int) -> dict[str, Any]:
    """What a reader needs to make the table again; texts are shown below it."""
    told = [run for folder in trained if (run := read_mark(folder / "run.json"))]

    def all_of(value: Callable[[dict[str, Any]], str]) -> str:
        return "; ".join(dict.fromkeys(text for one in told if (text := value(one)))) or "not known"

    def data_of(run: dict[str, Any]) -> str:
        digest = run.get("data_digests", {}).get("feats.scp")
        return f"{run['data']}, feats.scp {digest[:16]}" if digest else run.get("data", "")

    return {
        "grid": f"{grid.path}, SHA-256 {file_digest(grid.path)[:16]}; reference {grid.reference}; {num_draws} draws",
        "commit": all_of(lambda one: one.get("commit") or ""),
        "versions": all_of(lambda one: ", ".join(f"{name} {v}" for name, v in one.get("versions", {}).items())),
        "machine": all_of(lambda one: ", ".join(str(value) for value in one.get("machine", {}).values() if value)),
        "data": all_of(data_of),
        "runs": [str(folder) for folder in runs],
    }


def write_comparison(folder: Path, comparison: Comparison) -> None:
    """comparison.md, .tex, .csv and .json (rates as fractions)."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"md": comparison.markdown(), "tex": in_latex(comparison.rows), "csv": in_csv(comparison.rows)}
    for suffix, text in texts.items():
        with whole_file(folder / f"comparison.{suffix}") as file:
            file.write(text)
    rows = [vars(row) for row in comparison.rows]
    write_json(folder / "comparison.json", without_infinities({"made_from": comparison.made_from, "rows": rows}))
