"""Options that say which system of a table of published results an experiment is."""

from __future__ import annotations

import argparse
from pathlib import Path

from spk.errors import InputError
from spk.report.deviations import recorded_run


def add_identity_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--published-as",
        default="",
        metavar="SYSTEM,TRAINING",
        help="as rescnn_dam,vox2 (default: what run.json names: conf/rescnn_dam.yaml on data/vox2_dev)",
    )
    parser.add_argument("--model", default="", metavar="EXP", help="where the system was trained (default: EXP)")


def identity(options: argparse.Namespace, exp: str) -> tuple[str, str, Path]:
    """(system, training set, the folder where it was trained)."""
    model = Path(options.model or exp)
    if not model.is_dir():
        raise InputError(f"{model}: no such folder of a trained system")
    if options.published_as:
        system, _, training = options.published_as.partition(",")
        if not (system and training) or "," in training:
            raise InputError(f"--published-as takes SYSTEM,TRAINING, as rescnn_dam,vox2, not {options.published_as!r}")
        return system, training, model
    run = recorded_run(model)
    if not run:
        raise InputError(f"{model} has no readable run.json that says what it is; give --published-as SYSTEM,TRAINING")
    return run["system"], run["training"], model
