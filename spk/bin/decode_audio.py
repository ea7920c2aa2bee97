"""Decode a folder of compressed audio, as steps/decode_audio does it.

Usage: python3 -m spk.bin.decode_audio ACTION [options] SOURCE DEST
list: write the list of the files to decode; prints the numbers of all files and of those not decoded yet.
share: decode part JOB of NUM_JOBS of that list.
join: list what was rejected, and fail when it is too much.
"""

from __future__ import annotations

import logging
from pathlib import Path

from spk.bin.command import argument_parser, command
from spk.data.decode import CODECS
from spk.data.decode_folder import decode_share, join_shares, list_files
from spk.errors import InputError

log = logging.getLogger(__name__)


@command
def main() -> None:
    parser = argument_parser("decode_audio", __doc__)
    parser.add_argument("action", choices=["list", "share", "join"])
    parser.add_argument("--format", choices=sorted(CODECS), default="flac")
    parser.add_argument("--sample-rate", type=int, default=16000)
    parser.add_argument("--job", type=int, default=1)
    parser.add_argument("--num-jobs", type=int, default=1)
    parser.add_argument("--total", type=int, default=0, help="number of all files, as list prints it")
    parser.add_argument("--max-rejected", type=float, default=1.0, metavar="PERCENT")
    parser.add_argument("source", type=Path)
    parser.add_argument("dest", type=Path)
    options = parser.parse_args()
    source, dest = options.source.absolute(), options.dest
    if options.sample_rate < 1:
        raise InputError(f"--sample-rate {options.sample_rate}: must be at least 1 Hz")
    if options.action == "list":
        total, missing = list_files(source, dest, options.format, options.sample_rate)
        print(total, missing)
    elif options.action == "share":
        decoded, rejected = decode_share(
            source, dest, options.format, options.sample_rate, options.job, options.num_jobs
        )
        log.info("%d files decoded, %d rejected", decoded, rejected)
    else:
        join_shares(source, dest, options.format, options.total, options.num_jobs, options.max_rejected)


if __name__ == "__main__":
    main()
