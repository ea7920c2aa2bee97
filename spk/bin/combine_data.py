"""Join data directories into one: the union of their tables.

A table that not all sources have is left out, which is said; segments, utt2uniq and utt2augmentation are completed
instead. Two sources may have the same utterance only if they say the same about it. Trial lists stay with their
directories.
"""

from __future__ import annotations

import sys
from pathlib import Path

from spk.bin.command import argument_parser, command
from spk.data.combine_data import combine_data


@command
def main() -> None:
    parser = argument_parser("combine_data.sh", __doc__)
    parser.add_argument("destination", type=Path, metavar="DESTINATION")
    parser.add_argument("sources", type=Path, nargs="+", metavar="SOURCE")
    options = parser.parse_args()
    for line in combine_data(options.destination, options.sources):
        print(f"combine_data.sh: {line}", file=sys.stderr)
    print(f"combine_data.sh: {options.destination}: made of {len(options.sources)} directories", file=sys.stderr)


if __name__ == "__main__":
    main()
