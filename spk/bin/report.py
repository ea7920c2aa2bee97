"""Tables and figures of the error rates of one or more systems.

Usage: python3 -m spk.bin.report [--title TEXT] [--output DIR] [--draws N] EXP...
       python3 -m spk.bin.report ... --published FILE [--published-as SYSTEM,TRAINING] [--model EXP] EXP
Every EXP/scores_*.json (steps/score, steps/calibrate) is a row. EXP gets results.json (rates as fractions) and
results.md; the table of all EXP together is printed, and written to DIR, with DET curves and score histograms per test
set, and with learning curves on one page that needs no other file: DIR/index.html. Scores whose inputs have changed
since are left out, and named. The interval is that of the EER, by resampling the speakers that utt2spk beside the
trials names.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from spk.bin.command import argument_parser, command
from spk.bin.published_as import add_identity_options, identity
from spk.bin.whole_number import whole_number
from spk.config import read_yaml
from spk.data.files import whole_file
from spk.data.stamp import describe_inputs, differences, write_stamp
from spk.errors import InputError
from spk.metrics.error_rates import error_rates
from spk.report.published import quoter
from spk.report.results import ScoreFile, find_scores, measured_by, results_of, without_calibrated_twins, write_results
from spk.report.table import is_log_likelihood_ratio, results_table

CONFIG, LOGS = "config.yaml", ("training.csv", "cosines.csv")  # of a training
log = logging.getLogger(__name__)


@command
def main() -> None:
    parser = argument_parser("report", __doc__)
    parser.add_argument("--title", default="Results")
    parser.add_argument("--output", default="", metavar="DIR")
    parser.add_argument("--draws", default="1000", help="of speakers, for the intervals; 0: none (default %(default)s)")
    parser.add_argument(
        "--published", default="", metavar="FILE", help="numbers of papers; conf/ beside it has the configs"
    )
    add_identity_options(parser)
    parser.add_argument("exps", nargs="+", metavar="EXP")
    options = parser.parse_args()
    num_draws = whole_number("--draws", options.draws)
    if num_draws == 1:
        raise InputError("--draws: 1 is out of range; allowed: 2 or more, or 0 for no intervals")
    exps = list(dict.fromkeys(exp.rstrip("/") or exp for exp in options.exps))
    found = find_scores(exps)
    quote = None
    if options.published:
        if len(exps) > 1:
            raise InputError(f"--published is for the table of one system, not of {len(exps)}")
        quote = quoter(options.published, *identity(options, exps[0]))
    rows = [row for exp, score_files in found.items() for row in results_of(exp, score_files, num_draws, quote)]
    if options.output:
        write_output(
            Path(options.output),
            rows,
            options.title,
            [file for files in found.values() for file in files],
            num_draws,
            trained_systems(found, options.model),
        )
    print(results_table(rows, options.title), end="")


def write_output(
    folder: Path,
    rows: Sequence[dict[str, Any]],
    title: str,
    score_files: Sequence[ScoreFile],
    num_draws: int,
    trained: Mapping[str, Path],
) -> None:
    """The joint table, the figures and the page, unless they are there and no file they are made from has changed."""
    test_sets = list(dict.fromkeys(scores.test_set for scores in score_files))
    made = [folder / "results.json", folder / "results.md", folder / "index.html"]
    made += [path for test_set in test_sets for path in figure_paths(folder, test_set)]
    labels = {f"row {number}": label(scores) for number, scores in enumerate(score_files)}
    logs = [path for exp in trained.values() for name in (CONFIG, *LOGS) if (path := exp / name).is_file()]
    inputs = describe_inputs(
        [*(path for scores in score_files for path in scores.inputs()), *map(os.fspath, logs)],
        {"title": title, "published": str([row.get("published") for row in rows]), **measured_by(num_draws), **labels},
    )
    if differences(folder / ".report.done", inputs) == [] and all(path.exists() for path in made):
        return
    from spk.report.system_page import system_page

    write_results(folder, rows, title)
    for test_set in test_sets:
        draw(folder, test_set, (scores for scores in score_files if scores.test_set == test_set))
        log.info("%s", ", ".join(map(str, figure_paths(folder, test_set))))
    with whole_file(folder / "index.html") as file:
        file.write(system_page(title, rows, score_files, trained, losses_of(trained)))
    log.info("%s", folder / "index.html")
    write_stamp(folder / ".report.done", inputs)


def trained_systems(found: Mapping[str, Sequence[ScoreFile]], model: str) -> dict[str, Path]:
    """{system: where it was trained} of those that left a log of it; `model` is that of scores from elsewhere."""
    folders = {score_files[0].system: Path(model or exp) for exp, score_files in found.items()}
    return {system: folder for system, folder in folders.items() if (folder / LOGS[0]).is_file()}


def losses_of(trained: Mapping[str, Path]) -> dict[str, dict[str, Any]]:
    """{system: the loss of its config}."""
    from spk.losses import LOSSES

    paths = {system: path for system, folder in trained.items() if (path := folder / CONFIG).is_file()}
    return {system: LOSSES.check(f"{path}: loss", read_yaml(path).get("loss")) for system, path in paths.items()}


def figure_paths(folder: Path, test_set: str) -> list[Path]:
    return [folder / f"det_{test_set}.png", folder / f"histogram_{test_set}.png"]


def label(scores: ScoreFile) -> str:
    return f"{scores.system}, {scores.backend}"


def draw(folder: Path, test_set: str, score_files: Iterable[ScoreFile]) -> None:
    from spk.report.figures import det_plot, histogram_plot

    panels, curves = [], []
    score_files = list(score_files)
    raw = without_calibrated_twins(score_files)
    for scores in score_files:
        trials, values = scores.read()
        split = values[trials.is_target], values[~trials.is_target]
        panels.append((label(scores), *split, is_log_likelihood_ratio(scores.backend)))
        if scores in raw:
            curves.append((label(scores), error_rates(*split)))
    det_path, histogram_path = figure_paths(folder, test_set)
    det_plot(det_path, curves, test_set)
    histogram_plot(histogram_path, panels, test_set)


if __name__ == "__main__":
    main()
