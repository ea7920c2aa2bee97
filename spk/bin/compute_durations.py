"""How long utterances are, by the headers of their recordings: of one share of a data directory, or the shares joined.

Usage: python3 -m spk.bin.compute_durations SHARE OUT.json
       python3 -m spk.bin.compute_durations --join NUM_SHARES [--max-rejected PERCENT] DATA PREFIX
SHARE is a data directory. Does nothing when OUT.json is there. The shares are PREFIX.1.json to PREFIX.NUM_SHARES.json;
joined, DATA gets utt2dur, and without_duration.tsv when there are recordings that cannot be used.
"""

from __future__ import annotations

import logging
from pathlib import Path

from spk.bin.command import argument_parser, command
from spk.data.utterance_durations import join_durations, measure_share

log = logging.getLogger(__name__)


@command
def main() -> None:
    parser = argument_parser("compute_durations", __doc__)
    parser.add_argument("--join", type=int, metavar="NUM_SHARES")
    parser.add_argument("--max-rejected", type=float, default=1.0, metavar="PERCENT")
    parser.add_argument("data")
    parser.add_argument("out")
    options = parser.parse_args()
    if options.join is not None:
        shares = [Path(f"{options.out}.{share}.json") for share in range(1, options.join + 1)]
        join_durations(Path(options.data), shares, options.max_rejected)
    elif Path(options.out).exists():
        log.info("%s: already made", options.out)
    else:
        measure_share(Path(options.data), Path(options.out))


if __name__ == "__main__":
    main()
