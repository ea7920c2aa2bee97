"""Score a trial list by comparing embeddings.

Usage: python3 -m spk.bin.score [--backend NAME] [--backend-dir DIR] TRIALS ENROLL_DIR TEST_DIR SCORES
Writes SCORES ('enroll test score' a line, in the order of the trials) and SCORES.json (what they were made from).
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

from spk.backend import BACKENDS
from spk.backend.embedding_reader import MissingEmbeddings
from spk.backend.lda import read_transform
from spk.backend.scoring import score_trials
from spk.bin.command import command
from spk.config import make_evaluation, read_yaml
from spk.data.files import whole_file
from spk.data.scores import write_scores
from spk.data.trials import read_trials
from spk.errors import InputError

log = logging.getLogger(__name__)


@command
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="score", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--backend",
        help=f"how two embeddings are compared: {', '.join(BACKENDS)} (default: what evaluation.yaml of ENROLL_DIR and "
        "TEST_DIR says, else cosine)",
    )
    parser.add_argument("--backend-dir", help="with mean.vec and transform.mat to apply first (steps/train_lda)")
    parser.add_argument("--length-normalize", choices=["true", "false"], help="for euclidean (default true)")
    for name in ("trials", "enroll_dir", "test_dir", "scores"):
        parser.add_argument(name)
    options = parser.parse_args()

    if options.backend is None:
        section = backend_of_embeddings(options.enroll_dir, options.test_dir)
    else:
        section = {"name": options.backend}
    if options.length_normalize is not None and section["name"] != "euclidean":
        raise InputError(f"--length-normalize is for euclidean, and these embeddings are scored by {section['name']}")
    if options.length_normalize is not None:
        section["length_normalize"] = options.length_normalize == "true"
    backend = BACKENDS.build("--backend", section)
    transform = read_transform(options.backend_dir) if options.backend_dir else None
    trials = read_trials(options.trials)
    missing_list = Path(f"{options.scores}.missing")
    missing_list.unlink(missing_ok=True)
    try:
        values = score_trials(trials, options.enroll_dir, options.test_dir, backend, transform)
    except MissingEmbeddings as error:
        with whole_file(missing_list) as file:
            file.writelines(f"{utterance}\n" for utterance in error.utterances)
        raise InputError(f"{options.trials}: {error}; all are listed in {missing_list}") from None
    write_scores(options.scores, trials, values)
    description = {
        "trials": options.trials,
        "enroll_dir": options.enroll_dir,
        "test_dir": options.test_dir,
        "backend": backend.label if transform is None else f"lda_{backend.label}",
        "backend_dir": options.backend_dir,
        "num_trials": len(trials),
        "num_targets": int(trials.is_target.sum()),
        "num_utterances": len(trials.utterances),
    }
    with whole_file(f"{options.scores}.json") as file:
        json.dump(description, file, indent=1)
        file.write("\n")
    log.info("%d trials of %d utterances", len(trials), len(trials.utterances))


def backend_of_embeddings(enroll_dir: str, test_dir: str) -> dict[str, Any]:
    """The back-end that the system of these embeddings is evaluated with; cosine where nothing tells."""
    sections = []
    for directory in (enroll_dir, test_dir):
        path = Path(directory) / "evaluation.yaml"
        sections.append(make_evaluation(read_yaml(path)).backend if path.exists() else {"name": "cosine"})
    if sections[0] != sections[1]:
        raise InputError(
            f"{enroll_dir} is to be scored by {sections[0]} and {test_dir} by {sections[1]}; extract both with the "
            "same evaluation, or give --backend"
        )
    return sections[0]


if __name__ == "__main__":
    main()
