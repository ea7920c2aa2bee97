"""Split a data directory into N parts for parallel jobs: DATA/split<N>/1 .. DATA/split<N>/N.

Prints the number of parts, which is smaller than asked for when there are fewer utterances (or speakers):
  nj=$(split_data.sh data/train 40)
  run JOB=1:$nj log/x.JOB.log command data/train/split$nj/JOB
Each part is a run of the sorted utterances, so outputs joined in the order of the parts are sorted. All tables of DATA
are split; parts are equal in their number of utterances to within one.
"""

from __future__ import annotations

import sys
from pathlib import Path

from spk.bin.command import argument_parser, command
from spk.data.split_data import split_data


@command
def main() -> None:
    parser = argument_parser("split_data.sh", __doc__)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("num_parts", type=int, metavar="N")
    parser.add_argument(
        "--per-speaker",
        action="store_true",
        help="keep each speaker's utterances in one part; the parts are in DATA/split<N>spk, as even as that allows",
    )
    options = parser.parse_args()
    folder, num_parts, left_out = split_data(options.data, options.num_parts, options.per_speaker)
    for line in left_out:
        print(f"split_data.sh: {line}", file=sys.stderr)
    if num_parts < options.num_parts:
        unit = "speakers" if options.per_speaker else "utterances"
        print(f"split_data.sh: {folder}: {num_parts} parts, not {options.num_parts}: no more {unit}", file=sys.stderr)
    print(num_parts)


if __name__ == "__main__":
    main()
