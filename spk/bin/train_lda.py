"""Train LDA on the embeddings of the training speakers.

Usage: python3 -m spk.bin.train_lda [--lda-dim N|auto] [--shrinkage none|auto|SHARE] DATA EMBEDDING_DIR BACKEND_DIR
DATA/utt2spk says who speaks; BACKEND_DIR gets mean.vec and transform.mat (in Kaldi's formats) and lda.json. An
utterance with several crop embeddings counts as their mean.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

from spk.backend.lda import fit_lda, lda_dimensions, write_transform
from spk.backend.training_set import read_training_set
from spk.bin.command import argument_parser, command
from spk.bin.whole_number import whole_number
from spk.data.files import write_json
from spk.schema import FRACTION, check_value

log = logging.getLogger(__name__)


@command
def main() -> None:
    parser = argument_parser("train_lda", __doc__)
    parser.add_argument("--lda-dim", default="auto", metavar="N|auto", help="dimensions to keep; auto: at most 200")
    parser.add_argument(
        "--shrinkage",
        default="none",
        metavar="none|auto|SHARE",
        help="share of the unit matrix in the covariances; auto: Ledoit and Wolf's, which is also taken when the "
        "within-speaker covariance is singular",
    )
    for name in ("data", "embedding_dir", "backend_dir"):
        parser.add_argument(name)
    options = parser.parse_args()
    requested = None if options.lda_dim == "auto" else whole_number("--lda-dim", options.lda_dim, "auto")
    shrinkage = {"none": None, "auto": "auto"}.get(options.shrinkage, options.shrinkage)
    if shrinkage not in (None, "auto"):
        shrinkage = check_value("--shrinkage", shrinkage, Annotated[float, FRACTION])

    backend_dir = Path(options.backend_dir)
    training = read_training_set(options.data, options.embedding_dir, backend_dir / "missing")
    statistics = training.statistics()
    dim = lda_dimensions(requested, statistics.num_speakers, statistics.dim)
    transform, shrinkage = fit_lda(training, statistics, dim, shrinkage)
    write_transform(backend_dir, transform)
    description = {
        "embedding_dim": statistics.dim,
        "lda_dim": dim,
        "num_utterances": statistics.num_utterances,
        "num_missing": training.num_missing,
        "num_speakers": statistics.num_speakers,
        "shrinkage": shrinkage,
    }
    write_json(backend_dir / "lda.json", description)
    log.info(
        "LDA from %d to %d dimensions, trained on %d utterances of %d speakers",
        statistics.dim,
        dim,
        statistics.num_utterances,
        statistics.num_speakers,
    )


if __name__ == "__main__":
    main()
