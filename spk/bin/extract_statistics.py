"""Mean and standard deviation over time of the features of a data directory, as embeddings.

Usage: python3 -m spk.bin.extract_statistics DATA OUT_DIR
Writes OUT_DIR/embedding.ark and .scp: a vector of twice the features' dimension for every utterance of DATA/feats.scp.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from tqdm import tqdm

from spk.bin.command import argument_parser, command
from spk.data.ark import FeatureReader
from spk.embed.statistics import statistics
from spk.embed.write import write_embeddings

log = logging.getLogger(__name__)


@command
def main() -> None:
    parser = argument_parser("extract_statistics", __doc__)
    parser.add_argument("data")
    parser.add_argument("out_dir")
    options = parser.parse_args()
    reader = FeatureReader(Path(options.data) / "feats.scp")
    with tqdm(total=len(reader), unit="utt", disable=not sys.stderr.isatty()) as bar:
        embeddings = statistics(reader, bar.update)
    write_embeddings(os.fspath(Path(options.out_dir) / "embedding"), reader.utterances, embeddings)
    log.info("%d embeddings of %d dimensions", *embeddings.shape)


if __name__ == "__main__":
    main()
