"""Copy a score file, as lines 'enroll test score' or in numpy's .npz.

Usage: python3 -m spk.bin.copy_scores [--binary true] SCORES COPY
SCORES is of either form. SCORES.json, which says what the scores were made from, is copied beside it where it is there.
COPY may be - for the standard output, to look into a binary file: then nothing is copied beside it.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from spk.bin.command import argument_parser, command
from spk.data.files import whole_file
from spk.data.scores import as_written, read_scores, write_scores
from spk.errors import InputError

log = logging.getLogger(__name__)


@command
def main() -> None:
    parser = argument_parser("copy_scores", __doc__)
    parser.add_argument("--binary", choices=["true", "false"], default="false", help="(default %(default)s)")
    parser.add_argument("scores")
    parser.add_argument("copy")
    options = parser.parse_args()
    if os.path.realpath(options.scores) == os.path.realpath(options.copy):
        raise InputError(f"{options.copy}: is read, too; name another file to write")
    scores = read_scores(options.scores)
    if options.copy == "-":
        write_scores("/dev/stdout", scores, as_written(scores.values), options.binary == "true")
        return
    Path(f"{options.copy}.json").unlink(missing_ok=True)
    write_scores(options.copy, scores, as_written(scores.values), options.binary == "true")
    description = Path(f"{options.scores}.json")
    if description.exists():
        with whole_file(f"{options.copy}.json", "wb") as file:
            file.write(description.read_bytes())
    log.info("%d scores", len(scores))


if __name__ == "__main__":
    main()
