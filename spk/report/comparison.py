"""The table of a grid: each system over its seeds, tested against the reference; Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spk.backend import BACKENDS
from spk.config import SystemConfig
from spk.data.files import file_digest, whole_file, write_json
from spk.errors import InputError
from spk.metrics.json_numbers import without_infinities
from spk.metrics.over_seeds import compare_over_seeds
from spk.report.grid import Grid, folder_of
from spk.report.progress import FAILED, progress_of, read_mark
from spk.report.results import ScoreFile, find_scores
from spk.report.speakers import speakers_of_trials
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
    folders: Mapping[str, Sequence[Path]]  # {system: of each seed that has begun}
    configs: Mapping[str, SystemConfig]

    def markdown(self) -> str:
        lines = [f"- {name}: {value}\n" for name, value in self.made_from.items() if isinstance(value, str)]
        return f"# Comparison\n\n{in_markdown(self.rows)}\n{EXPLANATION}\n{''.join(lines)}"


EXPLANATION = """\
Mean ± standard deviation over seeds. Intervals and differences to the reference are over other speakers and other seeds
(of one seed over speakers alone); p is two-sided, Holm's for all systems of a test set and back-end together.
"""


def compare_grid(grid: Grid, exp: str | os.PathLike[str], num_draws: int) -> Comparison:
    """Of the runs that have scores. Raises: InputError where none has, or where runs saw other data than the first."""
    runs = {run: folder_of(exp, *run) for run in grid.runs()}
    scored = {run: folder for run, folder in runs.items() if any(folder.glob("scores_*.json"))}
    if not scored:
        raise InputError(f"{exp}: no run of {grid.path} has scores yet")
    check_same_data(scored.values())
    found = find_scores([str(folder) for folder in scored.values()])
    configs = {run: run[0].load(run[1]) for run in runs}
    groups: dict[Group, dict[str, list[ScoreFile]]] = {}
    for run, folder in scored.items():
        for scores in found.get(str(folder), []):
            row = scores.test_set, row_of(scores.backend, configs[run])
            groups.setdefault(row, {}).setdefault(run[0].name, []).append(scores)
    rows = []
    for (test_set, backend), systems in groups.items():
        results = compare_group(systems, grid.reference, num_draws)
        for system in grid.systems:
            folders = [runs[system, seed] for seed in grid.seeds]
            minutes = [time for run, time in minutes_of(runs, configs).items() if run[0] == system and time is not None]
            rows.append(
                Row(
                    system.name, test_set, backend, results.get(system.name), len(grid.seeds),
                    failed=sum((folder / FAILED).exists() for folder in folders),
                    minutes=sum(minutes) / len(minutes) if minutes else None,
                )
            )  # fmt: skip
    begun = {
        system.name: [folder for seed in grid.seeds if (folder := runs[system, seed]).is_dir()]
        for system in grid.systems
    }
    first_configs = {system.name: configs[system, grid.seeds[0]] for system in grid.systems}
    return Comparison(grid, rows, provenance(grid, scored.values(), num_draws), groups, begun, first_configs)


def row_of(backend: str, config: SystemConfig) -> str:
    """'own_as' of 'cosine_as' where cosine is what the config names: systems may differ in it."""
    own = BACKENDS.build("evaluation.backend", config.evaluation.backend, **dict.fromkeys(BACKENDS.given)).label
    return "own" + backend.removeprefix(own) if backend == own or backend.startswith(f"{own}_") else backend


def compare_group(systems: Mapping[str, list[ScoreFile]], reference: str, num_draws: int) -> dict[str, dict[str, Any]]:
    """compare_over_seeds of score files of one trial list. Without the reference, each system is its own."""
    first = next(iter(systems.values()))[0]
    trials = first.read()[0]
    values = {name: [scores.read()[1] for scores in files] for name, files in systems.items()}
    speakers = speakers_of_trials(trials, first.utt2spk, first.enroll_models)
    if reference in values:
        return compare_over_seeds(values, reference, trials.is_target, *speakers, num_draws)
    log.warning("%s: the reference %s has no scores yet: no differences", first.trials, reference)
    return {
        name: compare_over_seeds({name: own}, name, trials.is_target, *speakers, num_draws)[name]
        for name, own in values.items()
    }


def check_same_data(folders: Sequence[Path]) -> None:
    """InputError that names runs that were trained on other data."""
    digests = {folder: (read_mark(folder / "run.json") or {}).get("data_digests") for folder in folders}
    first, *others = digests
    if odd := [str(folder) for folder in others if digests[folder] != digests[first]]:
        raise InputError(f"trained on other data than {first}: {', '.join(odd)}; remove them, and run them again")


def minutes_of(runs: Mapping[Any, Path], configs: Mapping[Any, SystemConfig]) -> dict[Any, float | None]:
    """Of training, by its steps and its usual rate."""
    times = {}
    for run, folder in runs.items():
        progress = progress_of(folder, configs[run], {})
        known = progress.crops_per_second and progress.batch_size
        times[run] = progress.step * progress.batch_size / progress.crops_per_second / 60 if known else None
    return times


def provenance(grid: Grid, folders: Sequence[Path], num_draws: int) -> dict[str, Any]:
    """What a reader needs to make the table again; texts are shown below it."""
    told = [read_mark(folder / "run.json") or {} for folder in folders]

    def all_of(value: Any) -> str:
        return "; ".join(dict.fromkeys(str(value(one)) for one in told))

    return {
        "grid": f"{grid.path}, SHA-256 {file_digest(grid.path)[:16]}; reference {grid.reference}; {num_draws} draws",
        "commit": all_of(lambda one: one.get("commit")),
        "versions": all_of(lambda one: ", ".join(f"{name} {version}" for name, version in one["versions"].items())),
        "machine": all_of(lambda one: ", ".join(str(value) for value in one["machine"].values() if value)),
        "data": all_of(lambda one: f"{one['data']}, feats.scp {one['data_digests']['feats.scp'][:16]}"),
        "runs": [str(folder) for folder in folders],
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
