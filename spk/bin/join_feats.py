"""Join the shares that make_feats made into DATA: feats.scp, utt2num_frames, utt2dur, feats.yaml, rejected.tsv.

Usage: python3 -m spk.bin.join_feats [--max-rejected PERCENT] DATA PREFIX NUM_JOBS
The shares are PREFIX.1 to PREFIX.NUM_JOBS; what an earlier run with more jobs left beside them is removed.
"""

from __future__ import annotations

from spk.bin.command import argument_parser, command
from spk.data.features import join_shares, remove_shares_after


@command
def main() -> None:
    parser = argument_parser("join_feats", __doc__)
    parser.add_argument("--max-rejected", type=float, default=1.0, metavar="PERCENT")
    parser.add_argument("data")
    parser.add_argument("prefix")
    parser.add_argument("num_jobs", type=int)
    options = parser.parse_args()
    prefixes = [f"{options.prefix}.{job}" for job in range(1, options.num_jobs + 1)]
    join_shares(options.data, prefixes, max_rejected=options.max_rejected)
    remove_shares_after(options.prefix, options.num_jobs)


if __name__ == "__main__":
    main()
