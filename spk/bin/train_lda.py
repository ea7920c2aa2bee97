"""Train LDA on the embeddings of the training speakers.

Usage: python3 -m spk.bin.train_lda [--lda-dim N|auto] [--shrinkage none|auto|SHARE] DATA EMBEDDING_DIR BACKEND_DIR
DATA/utt2spk says who speaks; BACKEND_DIR gets mean.vec and transform.mat (in Kaldi's formats) and lda.json. An
utterance with several crop embeddings counts as their mean.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np

from spk.backend.embedding_reader import embedding_scp, map_embeddings
from spk.backend.lda import lda_dimensions, train_lda, write_transform
from spk.bin.command import command
from spk.data.data_dir import read_table
from spk.data.files import whole_file
from spk.errors import InputError
from spk.schema import FRACTION, check_value

log = logging.getLogger(__name__)


@command
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="train_lda", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lda-dim", default="auto", metavar="N|auto", help="dimensions to keep; auto: at most 200")
    parser.add_argument(
        "--shrinkage",
        default="none",
        metavar="none|auto|SHARE",
        help="share of the unit matrix in the within-speaker covariance; auto: Ledoit and Wolf's, which is also taken "
        "when there are too few utterances for a covariance of full rank",
    )
    for name in ("data", "embedding_dir", "backend_dir"):
        parser.add_argument(name)
    options = parser.parse_args()
    requested = None if options.lda_dim == "auto" else whole_number("--lda-dim", options.lda_dim)
    shrinkage = {"none": None, "auto": "auto"}.get(options.shrinkage, options.shrinkage)
    if shrinkage not in (None, "auto"):
        shrinkage = check_value("--shrinkage", shrinkage, Annotated[float, FRACTION])

    utt2spk = read_table(Path(options.data) / "utt2spk")
    embedded = read_table(embedding_scp(options.embedding_dir))
    utterances = [utterance for utterance in utt2spk if utterance in embedded]
    if not utterances:
        raise InputError(f"{options.embedding_dir} has no embedding of any utterance of {options.data}")
    backend_dir = Path(options.backend_dir)
    list_missing(backend_dir / "missing", [utterance for utterance in utt2spk if utterance not in embedded])

    embeddings = map_embeddings(options.embedding_dir, utterances, lambda crops: crops.mean(axis=1))
    names, speakers = np.unique([utt2spk[utterance] for utterance in utterances], return_inverse=True)
    dim = lda_dimensions(requested, len(names), embeddings.shape[1])
    if shrinkage is None and len(utterances) - len(names) < embeddings.shape[1]:
        shrinkage = "auto"
        log.info("too few utterances for a covariance of full rank: --shrinkage auto")
    write_transform(backend_dir, train_lda(embeddings, speakers, dim, shrinkage))
    description = {
        "embedding_dim": embeddings.shape[1],
        "lda_dim": dim,
        "num_utterances": len(utterances),
        "num_missing": len(utt2spk) - len(utterances),
        "num_speakers": len(names),
        "solver": "eigen",
        "shrinkage": shrinkage,
    }
    with whole_file(backend_dir / "lda.json") as file:
        json.dump(description, file, indent=1)
        file.write("\n")
    log.info(
        "LDA from %d to %d dimensions, trained on %d utterances of %d speakers",
        embeddings.shape[1],
        dim,
        len(utterances),
        len(names),
    )


def whole_number(option: str, text: str) -> int:
    if not text.isdecimal():
        raise InputError(f"{option}: {text!r} must be a whole number or auto")
    return int(text)


def list_missing(path: Path, missing: Sequence[str]) -> None:
    """Count and list the utterances that take no part."""
    path.unlink(missing_ok=True)
    if missing:
        log.info("%d utterances have no embedding and take no part; they are listed in %s", len(missing), path)
        with whole_file(path) as file:
            file.writelines(f"{utterance}\n" for utterance in missing)


if __name__ == "__main__":
    main()
