"""Train the calibration of a system's scores, or the fusion of several systems' scores.

Usage: python3 -m spk.bin.train_calibration [--p-target P] [--quality duration,norm,cohort] [options]
           TRIALS CALIBRATION_DIR SCORES...
TRIALS are of held-out training speakers (utils/held_out_trials), never the test list; every SCORES covers them.
CALIBRATION_DIR gets calibration.json (weights, offset, what they are of) and utterances (which calibrate refuses).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import numpy as np

from spk.backend.calibration import separates, train_calibration
from spk.backend.quality import MEASURES
from spk.bin.calibration_inputs import (
    NEEDS,
    add_options,
    center_without,
    check_needs,
    duration_table,
    label_of,
    read_cohort_of,
    read_inputs,
    sides_of,
    utterances_of,
)
from spk.bin.command import argument_parser, command
from spk.data.data_dir import encode, write_whole
from spk.data.files import write_json
from spk.data.trials import read_trials
from spk.errors import InputError
from spk.metrics.cllr import cllr_from
from spk.metrics.error_rates import error_rates
from spk.metrics.min_cllr import min_cllr_from
from spk.schema import check_value

log = logging.getLogger(__name__)


@command
def main() -> None:
    parser = argument_parser("train_calibration", __doc__)
    parser.add_argument("--p-target", default="0.05", help="effective prior of a target trial (default %(default)s)")
    parser.add_argument("--quality", default="", help=f"some of {','.join(MEASURES)} (default none)")
    add_options(parser)
    parser.add_argument("trials")
    parser.add_argument("calibration_dir")
    parser.add_argument("scores", nargs="+")
    options = parser.parse_args()
    p_target = check_value("--p-target", options.p_target, float)
    measures = measures_of(options.quality)
    check_needs(options, measures)
    needed = {name for measure in measures for name in NEEDS[measure]}
    for name in ("enroll_data", "enroll_dir", "cohort"):
        if getattr(options, name) is not None and name not in needed:
            raise InputError(f"--{name.replace('_', '-')}: no quality measure that --quality asks for needs it")

    trials = read_trials(options.trials)
    table = duration_table(options) if "duration" in measures else None
    sides = sides_of(trials, options)
    compared = utterances_of(sides)
    cohort = read_cohort_of(options, measures)
    center = None if cohort is None else center_without(cohort, compared, options.trials)
    inputs = read_inputs(trials, sides, options, measures, table, center)
    backends = [label_of(path) for path in options.scores]
    names = [*options.scores, *(f"{which} {measure}" for measure in measures for which in ("smaller", "larger"))]
    calibration = train_calibration(inputs, trials.is_target, p_target, names)
    llrs = calibration(inputs)
    if separates(llrs, trials.is_target):
        log.warning(
            "warning: every target trial scores above every non-target trial, so that no weights are the best "
            "and the log-likelihood ratios are too sure; calibrate on more trials, or harder ones"
        )
    if len(options.scores) == 1 and calibration.weights[0] <= 0:
        log.warning(
            "warning: %s: higher scores do not favour the same speaker, the weight is not positive", *options.scores
        )
    utterances = sorted(compared)
    rates = error_rates(llrs[trials.is_target], llrs[~trials.is_target])
    description = {
        "p_target": p_target,
        "offset": calibration.offset,
        "weights": calibration.weights.tolist(),
        "inputs": names,
        "backends": backends,
        "quality": measures,
        "duration_table": table,
        # Tells one cohort from another, wherever its files lie.
        "cohort_length": None if center is None else float(np.linalg.norm(center)),
        "num_trials": len(trials),
        "num_targets": int(trials.is_target.sum()),
        "num_utterances": len(utterances),
        "cllr": cllr_from(rates),
        "min_cllr": min_cllr_from(rates),
    }
    folder = Path(options.calibration_dir)
    write_whole(folder / "utterances", encode("".join(f"{utterance}\n" for utterance in utterances)))
    write_json(folder / "calibration.json", description)
    log.info(
        "%d trials (%d target): llr = %s %+.4f; their Cllr %.4f, minCllr %.4f",
        len(trials),
        description["num_targets"],
        " ".join(f"{weight:+.4f} ({name})" for weight, name in zip(calibration.weights, names, strict=True)),
        calibration.offset,
        description["cllr"],
        description["min_cllr"],
    )


def measures_of(text: str) -> list[str]:
    """'duration,norm' -> the names, each once and in the order of MEASURES."""
    names = [check_value("--quality", name.strip(), Literal[MEASURES]) for name in text.split(",") if name.strip()]
    return [measure for measure in MEASURES if measure in names]


if __name__ == "__main__":
    main()
