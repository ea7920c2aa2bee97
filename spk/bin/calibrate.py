"""Turn scores into log-likelihood ratios by a trained calibration, or fuse those of several systems.

Usage: python3 -m spk.bin.calibrate [options] CALIBRATION_DIR TRIALS OUT_SCORES SCORES...
The SCORES are of the systems that trained it, in that order. OUT_SCORES has a line 'enroll test llr' for every trial,
in nats, and OUT_SCORES.json says what they were made from. A trial list with an utterance that trained it is refused.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np

from spk.backend.calibration import CALIBRATED, read_calibration
from spk.bin.calibration_inputs import (
    add_options,
    center_without,
    check_needs,
    label_of,
    read_cohort_of,
    read_inputs,
    sides_of,
    utterances_of,
)
from spk.bin.command import argument_parser, command
from spk.data.data_dir import count_and_name
from spk.data.files import write_json
from spk.data.scores import write_scores
from spk.data.trials import read_trials
from spk.errors import InputError
from spk.report.speakers import enroll_models_of

log = logging.getLogger(__name__)


@command
def main() -> None:
    parser = argument_parser("calibrate", __doc__)
    add_options(parser)
    parser.add_argument("calibration_dir")
    parser.add_argument("trials")
    parser.add_argument("out_scores")
    parser.add_argument("scores", nargs="+")
    options = parser.parse_args()
    calibration, description = read_calibration(options.calibration_dir)
    backends = [label_of(path) for path in options.scores]
    if backends != description["backends"]:
        raise InputError(
            f"{options.calibration_dir} was trained on {len(description['backends'])} score files, of "
            f"{', '.join(description['backends'])}, and is given {len(backends)}, of {', '.join(backends)}; "
            "give those of the same systems in the same order"
        )
    check_needs(options, description["quality"])
    trials = read_trials(options.trials)
    sides = sides_of(trials, options)
    compared = utterances_of(sides)
    trained = read_trained(options.calibration_dir)
    refuse_overlap(options, trained, compared)
    cohort, center = read_cohort_of(options, description["quality"]), None
    if cohort is not None:
        center = center_without(cohort, trained, f"{options.calibration_dir}'s trials")
        if not np.isclose(np.linalg.norm(center), description["cohort_length"], rtol=1e-5):
            raise InputError(
                f"{options.cohort}: another cohort than {options.calibration_dir} was trained with; give that one"
            )
        if not compared.isdisjoint(cohort.models.utterances):
            center = center_without(
                cohort, trained | compared, f"{options.calibration_dir}'s trials or {options.trials}"
            )
    inputs = read_inputs(trials, sides, options, description["quality"], description["duration_table"], center)
    llrs = calibration(inputs)
    write_scores(options.out_scores, trials, llrs)
    label = CALIBRATED + "+".join([*backends, *description["quality"]])
    made_from = {
        "directory": str(Path.cwd()),  # from which relative paths are meant
        "trials": options.trials,
        "backend": label,
        "calibration_dir": options.calibration_dir,
        "scores": options.scores,
        "enroll_models": options.enroll_models or enroll_models_of(options.scores[0]) or None,
        "num_trials": len(trials),
        "num_targets": int(trials.is_target.sum()),
        "num_utterances": len(trials.utterances),
    }
    write_json(f"{options.out_scores}.json", made_from)
    log.info("%d trials, %s", len(trials), label)


def read_trained(calibration_dir: str) -> set[str]:
    """The utterances that trained the calibration."""
    path = Path(calibration_dir) / "utterances"
    try:
        return set(path.read_text(encoding="utf-8", errors="surrogateescape").split())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; train the calibration again (steps/train_calibration)") from None


def refuse_overlap(options: argparse.Namespace, trained: set[str], utterances: set[str]) -> None:
    if both := trained & utterances:
        raise InputError(
            f"{options.trials}: of its {len(utterances)} utterances, these trained {options.calibration_dir}: "
            f"{count_and_name(both)}; train it on held-out training speakers (utils/held_out_trials)"
        )


if __name__ == "__main__":
    main()
