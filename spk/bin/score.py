"""Score a trial list by comparing embeddings.

Usage: python3 -m spk.bin.score [--backend NAME] [--backend-dir DIR] [--enroll-models SPK2UTT]
           [--norm NORM --cohort EMBEDDING_DIR] [--binary true] TRIALS ENROLL_DIR TEST_DIR SCORES
Trials without labels, 'enroll test' lines, are scored as well; there are no error rates of them.
Writes SCORES ('enroll test score' a line, in the order of the trials, or numpy's .npz) and SCORES.json (what they were
made from).
"""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from spk.backend import BACKENDS
from spk.backend.cohort import read_cohort
from spk.backend.embedding_reader import MissingEmbeddings
from spk.backend.lda import LinearTransform, read_transform
from spk.backend.models import UnknownModels, read_models
from spk.backend.plda_scoring import read_plda_backend
from spk.backend.registry import Backend
from spk.backend.score_normalization import NORMS, check_cohort_size, check_norm
from spk.backend.scoring import Normalization, score_trials, self_trials
from spk.bin.command import argument_parser, command
from spk.bin.whole_number import whole_number
from spk.config import make_evaluation, read_yaml
from spk.data.files import write_json
from spk.data.name_lists import write_names
from spk.data.scores import write_scores
from spk.data.trials import Trials, read_pairs, say_repeated
from spk.errors import InputError

log = logging.getLogger(__name__)

# Options that are arguments of one back-end.
BACKEND_OPTIONS = {
    "length_normalize": "euclidean",
    "normalize_length": "plda",
    "simple_length_normalization": "plda",
}


@command
def main() -> None:
    parser = argument_parser("score", __doc__)
    parser.add_argument(
        "--backend",
        help=f"how two embeddings are compared: {', '.join(BACKENDS)} (default: what evaluation.yaml of ENROLL_DIR and "
        "TEST_DIR says, else cosine)",
    )
    parser.add_argument(
        "--backend-dir",
        help="for plda, what steps/train_plda or Kaldi wrote; for others, with mean.vec and transform.mat to apply "
        "first (steps/train_lda)",
    )
    parser.add_argument("--length-normalize", choices=["true", "false"], help="for euclidean (default true)")
    parser.add_argument("--normalize-length", choices=["true", "false"], help="for plda, as in Kaldi (default true)")
    parser.add_argument(
        "--simple-length-normalization", choices=["true", "false"], help="for plda, as in Kaldi (default false)"
    )
    parser.add_argument("--enroll-models", help="'model utterance utterance ...' lines: what the trials' enrol")
    parser.add_argument("--norm", default="none", help=f"score normalisation: {', '.join(NORMS)} (default none)")
    parser.add_argument("--cohort", help="for --norm, a directory of embeddings of speakers who are in no trial")
    parser.add_argument("--cohort-models", help="'speaker utterance utterance ...' lines: the cohort are their means")
    parser.add_argument("--top-n", default="300", help="for --norm as: cohort scores that count (default 300)")
    parser.add_argument("--binary", choices=["true", "false"], default="false", help="write SCORES as numpy's .npz")
    for name in ("trials", "enroll_dir", "test_dir", "scores"):
        parser.add_argument(name)
    options = parser.parse_args()

    options.top_n = whole_number("--top-n", options.top_n)
    backend, transform = make_backend(options)
    normalization = make_normalization(options)
    models = read_models(options.enroll_models) if options.enroll_models else None
    trials = read_pairs(options.trials)
    say_repeated(options.trials, trials)
    themselves = self_trials(trials, models)
    if len(themselves):
        log.warning(
            "%s: %d trials compare an utterance with itself, or with a model that it enrolled, and flatter the error "
            "rates (line %d: %s)",
            options.trials,
            len(themselves),
            themselves[0] + 1,
            trials.names(themselves[0]),
        )
    missing_list = Path(f"{options.scores}.missing")
    missing_list.unlink(missing_ok=True)
    is_shown = normalization is not None and sys.stderr.isatty()
    try:
        with tqdm(total=len(trials.utterances), desc="cohort", unit="utt", disable=not is_shown) as bar:
            values = score_trials(
                trials, options.enroll_dir, options.test_dir, backend, transform, models, normalization, bar.update
            )
    except MissingEmbeddings as error:
        write_names(missing_list, error.utterances)
        raise InputError(f"{options.trials}: {error}; all are listed in {missing_list}") from None
    except UnknownModels as error:
        raise InputError(f"{options.enroll_models}: {error} of {options.trials}") from None
    write_scores(options.scores, trials, values, options.binary == "true")
    label = backend.label if transform is None or backend.label == "plda" else f"lda_{backend.label}"
    description = {
        "directory": str(Path.cwd()),  # from which relative paths are meant
        "trials": options.trials,
        "enroll_dir": options.enroll_dir,
        "test_dir": options.test_dir,
        "backend": label if normalization is None else f"{label}_{normalization.norm}",
        "backend_dir": options.backend_dir,
        "enroll_models": options.enroll_models,
        "norm": options.norm,
        "cohort": options.cohort,
        "cohort_models": options.cohort_models,
        "cohort_size": len(normalization.cohort) if normalization else None,
        "top_n": options.top_n if options.norm == "as" else None,
        "num_trials": len(trials),
        "num_targets": int(trials.is_target.sum()) if isinstance(trials, Trials) else None,
        "num_utterances": len(trials.utterances),
    }
    write_json(f"{options.scores}.json", description)
    log.info(
        "%d trials of %d utterances%s",
        len(trials),
        len(trials.utterances),
        " and models" if models else "",
    )


def make_backend(options: argparse.Namespace) -> tuple[Backend, LinearTransform | None]:
    """The back-end that the options or else the embeddings name, and what to apply to embeddings before it."""
    if options.backend is None:
        section = backend_of_embeddings(options.enroll_dir, options.test_dir)
    else:
        section = {"name": options.backend}
    for name, owner in BACKEND_OPTIONS.items():
        value = getattr(options, name)
        if value is not None and section["name"] != owner:
            raise InputError(
                f"--{name.replace('_', '-')} is for {owner}, and these embeddings are scored by {section['name']}"
            )
        if value is not None:
            section[name] = value == "true"
    section = BACKENDS.check("--backend", section)
    transform, given = None, {}
    if section["name"] == "plda":
        if not options.backend_dir:
            raise InputError("plda is trained on embeddings: give --backend-dir (steps/train_plda)")
        transform, given = read_plda_backend(options.backend_dir)
    elif options.backend_dir:
        transform = read_transform(options.backend_dir)
    return BACKENDS.build("--backend", section, **given), transform


def make_normalization(options: argparse.Namespace) -> Normalization | None:
    """What the options say about score normalisation; lists the cohort's utterances that have no embedding."""
    missing_list = Path(f"{options.scores}.cohort_missing")
    missing_list.unlink(missing_ok=True)
    for name in ("cohort", "cohort_models"):
        if options.norm == "none" and getattr(options, name):
            raise InputError(f"--{name.replace('_', '-')} is for score normalisation; give --norm, too")
    if options.norm == "none":
        return None
    check_norm(options.norm)
    if not options.cohort:
        raise InputError(f"--norm {options.norm}: give --cohort, embeddings of speakers who are in no trial")
    cohort = read_cohort(options.cohort, options.cohort_models)
    check_cohort_size(options.norm, options.top_n, len(cohort))
    if cohort.missing:
        write_names(missing_list, cohort.missing)
        log.info(
            "%d utterances of %s have no embedding and are not in the cohort; they are listed in %s",
            len(cohort.missing),
            options.cohort_models,
            missing_list,
        )
    return Normalization(options.norm, cohort, options.top_n)


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
