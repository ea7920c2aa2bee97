"""Train a PLDA back-end on the embeddings of the training speakers.

Usage: python3 -m spk.bin.train_plda [options] DATA EMBEDDING_DIR BACKEND_DIR
DATA/utt2spk says who speaks; BACKEND_DIR gets mean.vec, transform.mat (with LDA) and plda, in Kaldi's formats, and
plda.json. An utterance with several crop embeddings counts as their mean.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

from spk.backend.plda_backend import train_plda_backend, write_backend
from spk.backend.training_set import read_training_set, unlabelled_set
from spk.bin.command import argument_parser, command
from spk.bin.whole_number import whole_number
from spk.errors import InputError
from spk.schema import NOT_NEGATIVE, check_value

log = logging.getLogger(__name__)


@command
def main() -> None:
    parser = argument_parser("train_plda", __doc__)
    parser.add_argument("--lda-dim", default="auto", metavar="N|auto|none", help="dimensions to keep (at most 200)")
    parser.add_argument("--length-normalize", default="true", choices=["true", "false"], help="to sqrt(dim) after LDA")
    parser.add_argument("--num-iters", default="10", metavar="N", help="of expectation-maximisation")
    parser.add_argument("--smoothing", default="0", metavar="S", help="add S times the between- to the within-speaker")
    parser.add_argument("--coral", metavar="EMB_DIR", help="give the training embeddings the covariance of these")
    parser.add_argument("--coral-regularization", default="1", metavar="R", help="0: exactly that covariance")
    for name in ("data", "embedding_dir", "backend_dir"):
        parser.add_argument(name)
    options = parser.parse_args()
    lda_dim = options.lda_dim
    if lda_dim != "auto":
        lda_dim = None if lda_dim == "none" else whole_number("--lda-dim", lda_dim, "auto", "none")
    num_iters = whole_number("--num-iters", options.num_iters)
    if num_iters < 1:
        raise InputError("--num-iters: must be at least 1")
    not_negative = Annotated[float, NOT_NEGATIVE]
    smoothing = check_value("--smoothing", options.smoothing, not_negative)
    coral_regularization = check_value("--coral-regularization", options.coral_regularization, not_negative)

    backend_dir = Path(options.backend_dir)
    backend = train_plda_backend(
        read_training_set(options.data, options.embedding_dir, backend_dir / "missing"),
        lda_dim=lda_dim,
        length_normalize=options.length_normalize == "true",
        num_iters=num_iters,
        smoothing=smoothing,
        coral=unlabelled_set(options.coral) if options.coral else None,
        coral_regularization=coral_regularization,
    )
    write_backend(backend_dir, backend)
    log.info(
        "PLDA in %d dimensions, trained on %d utterances of %d speakers",
        backend.plda.dim,
        backend.description["num_utterances"],
        backend.description["num_speakers"],
    )


if __name__ == "__main__":
    main()
