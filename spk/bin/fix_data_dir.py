"""Make a data directory consistent.

Keeps the utterances that every table has, sorts all tables (C locale), drops empty, malformed and repeated lines (of
lines with the same id the first stays), and writes spk2utt anew. Says what was dropped; the originals of the files that
change go to DATA/.backup. Trial lists are left alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from spk.bin.command import argument_parser, command
from spk.data.fix_data_dir import fix_data_dir
from spk.data.validate_data_dir import Findings, speaker_problems


@command
def main() -> None:
    parser = argument_parser("fix_data_dir.sh", __doc__)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument(
        "--drop-missing-files",
        choices=["true", "false"],
        default="false",
        help="drop the utterances whose audio or features are not there, too (default false)",
    )
    options = parser.parse_args()
    fixed = fix_data_dir(options.data, options.drop_missing_files == "true")
    for note in fixed.notes:
        say(note)
    changed = f"changed: {' '.join(sorted(fixed.changed))} (originals in {options.data / '.backup'})"
    outcome = f"{options.data}: kept {len(fixed.utterances)} of {fixed.num_before} utterances"
    say(f"{outcome}; {changed if fixed.changed else 'nothing to change'}")
    remaining = Findings(shown_of_each=3)
    speaker_problems(options.data, fixed.utterances, fixed.speakers, remaining)
    for line in remaining.lines:
        say(f"remains: {line}")


def say(line: str) -> None:
    print(f"fix_data_dir.sh: {line}", file=sys.stderr)


if __name__ == "__main__":
    main()
