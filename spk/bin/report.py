"""Tables and figures of the error rates of one or more systems.

Usage: python3 -m spk.bin.report [--title TEXT] [--output DIR] [--draws N] EXP...
       python3 -m spk.bin.report ... --published FILE [--published-as SYSTEM,TRAINING] [--model EXP] EXP
Every EXP/scores_*.json (steps/score, steps/calibrate) is a row. EXP gets results.json (rates as fractions) and
results.md; the table of all EXP together is printed, and written to DIR, with DET curves and score histograms per test
set. Scores whose inputs have changed since are left out, and named. The interval is that of the EER, by resampling the
speakers that utt2spk beside the trials names.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from spk.bin.command import argument_parser, command
from spk.bin.published_as import add_identity_options, identity
from spk.bin.whole_number import whole_number
from spk.data.stamp import describe_inputs, differences, write_stamp
from spk.errors import InputError
from spk.metrics.error_rates import error_rates
from spk.report.published import quoter
from spk.report.results import ScoreFile, find_scores, measured_by, results_of, write_results
from spk.report.table import is_log_likelihood_ratio, results_table

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
        )
    print(results_table(rows, options.title), end="")


def write_output(
    folder: Path, rows: Sequence[dict[str, Any]], title: str, score_files: Sequence[ScoreFile], num_draws: int
) -> None:
    """The joint table and the figures, unless they are there and no score file has changed since."""
    test_sets = list(dict.fromkeys(scores.test_set for scores in score_files))
    made = [folder / "results.json", folder / "results.md"]
    made += [path for test_set in test_sets for path in figure_paths(folder, test_set)]
    labels = {f"row {number}": label(scores) for number, scores in enumerate(score_files)}
    inputs = describe_inputs(
        (path for scores in score_files for path in scores.inputs()),
        {"title": title, "published": str([row.get("published") for row in rows]), **measured_by(num_draws), **labels},
    )
    if differences(folder / ".report.done", inputs) == [] and all(path.exists() for path in made):
        return
    write_results(folder, rows, title)
    for test_set in test_sets:
        draw(folder, test_set, (scores for scores in score_files if scores.test_set == test_set))
        log.info("%s", ", ".join(map(str, figure_paths(folder, test_set))))
    write_stamp(folder / ".report.done", inputs)


def figure_paths(folder: Path, test_set: str) -> list[Path]:
    return [folder / f"det_{test_set}.png", folder / f"histogram_{test_set}.png"]


def label(scores: ScoreFile) -> str:
    return f"{scores.system}, {scores.backend}"


def draw(folder: Path, test_set: str, score_files: Iterable[ScoreFile]) -> None:
    from spk.report.figures import det_plot, histogram_plot

    panels, curves = [], []
    score_files = list(score_files)
    raw = {(scores.system, f"calibrated_{scores.backend}") for scores in score_files}
    for scores in score_files:
        trials, values = scores.read()
        split = values[trials.is_target], values[~trials.is_target]
        panels.append((label(scores), *split, is_log_likelihood_ratio(scores.backend)))
        # A calibration rises with the score, so that its curve is that of the raw scores and would hide it.
        if (scores.system, scores.backend) not in raw:
            curves.append((label(scores), error_rates(*split)))
    det_path, histogram_path = figure_paths(folder, test_set)
    det_plot(det_path, curves, test_set)
    histogram_plot(histogram_path, panels, test_set)


if __name__ == "__main__":
    main()
