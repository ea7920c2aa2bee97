"""Put a system's measured equal error rates beside the published ones.

Usage: python3 -m spk.bin.fill_results [--published FILE] [--published-as SYSTEM,TRAINING] [--model EXP] RESULTS.md EXP
Fills the rows of (system, training set, list, back-end) in the tables of RESULTS.md, a row for each seed, when the
system is the config as it stands, trained on the whole training set, and the list has as many trials as the row says;
else says in one line why not, with status 0.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spk.bin.command import argument_parser, command
from spk.bin.published_as import add_identity_options, identity
from spk.config import load_system
from spk.data.files import whole_file
from spk.errors import InputError
from spk.report.deviations import evaluation_deviations, recorded_run, training_deviations
from spk.report.fill import NUM_KEYS, TRIALS, ResultsFile, measured_cells, number_of
from spk.report.published import config_of
from spk.report.results import find_scores, result_of

log = logging.getLogger(__name__)
NUM_DRAWS = 1000  # as steps/report has it, so that its intervals are taken over


@command
def main() -> None:
    parser = argument_parser("fill_results", __doc__)
    parser.add_argument(
        "--published",
        default="",
        metavar="FILE",
        help="its table; the configs are in conf/ beside it (default: published.tsv beside RESULTS.md)",
    )
    add_identity_options(parser)
    parser.add_argument("results", metavar="RESULTS.md")
    parser.add_argument("exp", metavar="EXP")
    options = parser.parse_args()
    results, exp = Path(options.results), options.exp.rstrip("/") or options.exp
    system, training, model = identity(options, exp)
    config = config_of(options.published or results.parent / "published.tsv", system)
    if not config.parent.is_dir():
        raise InputError(f"{config.parent}: no such folder of configs; give --published")
    with locked(results):
        fill(results, exp, system, training, model, config)


def fill(results: Path, exp: str, system: str, training: str, model: Path, config: Path) -> None:
    before = read_text(results)
    file = ResultsFile(before, str(results))
    rows = {tuple(row[2:NUM_KEYS]): row for row in file.rows_of(system, training)}
    if not rows:
        log.info("%s: not filled: it has no row of %s trained on %s", results, system, training)
        return
    measured = {(scores.test_set, scores.backend): scores for scores in find_scores([exp])[exp]}
    measured = {key: scores for key, scores in measured.items() if key in rows}
    if not measured:
        log.info("%s: not filled: no list and back-end of its rows of %s is in %s", results, system, exp)
        return
    if reasons := training_deviations(model, config, training):
        log.info("%s: not filled: %s", results, "; ".join(reasons))
        return
    run, seed = recorded_run(model), load_system(model / "config.yaml").seed
    filled = []
    for key, scores in measured.items():
        row = result_of(scores, NUM_DRAWS)
        trials, wanted = row["num_targets"] + row["num_nontargets"], number_of(rows[key][TRIALS])
        reasons = evaluation_deviations(scores, config)
        if trials != wanted:
            reasons.append(f"the list has {trials:,} trials, not {rows[key][TRIALS] or 'a number that is known'}")
        if reasons:
            log.info("%s: %s, %s not filled: %s", results, *key, "; ".join(reasons))
        else:
            file.fill(rows[key], measured_cells(row, run, seed))
            filled.append(scores.test_set)
    if file.text() != before:
        with whole_file(results, "wb") as output:
            output.write(file.text().encode())
    if filled:
        log.info("%s: %s trained on %s, seed %d: %s", results, system, training, seed, ", ".join(filled))


def read_text(path: Path) -> str:
    """With its line ends as they are."""
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file") from None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One at a time: several systems may end at once. Who waited locks the file that has meanwhile replaced it."""
    while True:
        try:
            file = path.open("r+b")
        except FileNotFoundError:
            raise InputError(f"{path}: no such file") from None
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                yield
                return


if __name__ == "__main__":
    main()
