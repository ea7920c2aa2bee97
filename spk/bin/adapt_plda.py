"""Adapt a PLDA back-end to a domain of which there are embeddings, but no speakers.

Usage: python3 -m spk.bin.adapt_plda [options] BACKEND_DIR IN_DOMAIN_EMBEDDING_DIR NEW_BACKEND_DIR
NEW_BACKEND_DIR gets the files of BACKEND_DIR, with the in-domain mean, and the PLDA as Kaldi's ivector-adapt-plda
adapts it.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

from spk.backend.plda_backend import adapt_plda_backend, write_backend
from spk.backend.training_set import unlabelled_set
from spk.bin.command import argument_parser, command
from spk.errors import InputError
from spk.schema import NOT_NEGATIVE, check_value

log = logging.getLogger(__name__)

SCALES = {  # option -> (default, help)
    "within_covar_scale": ("0.3", "share of the variance that the model lacks which is given to utterances"),
    "between_covar_scale": ("0.7", "share that is given to speakers"),
    "mean_diff_scale": ("1.0", "how much the difference of the means counts as variance"),
}


@command
def main() -> None:
    parser = argument_parser("adapt_plda", __doc__)
    for name, (default, meaning) in SCALES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", default=default, metavar="SCALE", help=meaning)
    for name in ("backend_dir", "embedding_dir", "new_backend_dir"):
        parser.add_argument(name)
    options = parser.parse_args()
    scales = {
        name: check_value(f"--{name.replace('_', '-')}", getattr(options, name), Annotated[float, NOT_NEGATIVE])
        for name in SCALES
    }
    if Path(options.backend_dir).resolve() == Path(options.new_backend_dir).resolve():
        raise InputError(f"{options.new_backend_dir}: is the back-end to adapt; write to another directory")
    in_domain = unlabelled_set(options.embedding_dir)
    write_backend(options.new_backend_dir, adapt_plda_backend(options.backend_dir, in_domain, **scales))
    log.info("PLDA adapted to %d utterances", len(in_domain.utterances))


if __name__ == "__main__":
    main()
