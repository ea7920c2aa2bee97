"""Check a data directory: every kind of mistake with file, line and the command that mends it; exit status 1 if any.

Checked: the form and the order (C locale) of every table, ids that come twice, that each speaker's id begins the ids of
its utterances, that all tables speak of the same utterances, recordings and speakers, that values make sense, and that
the files that wav.scp and feats.scp point to are there.
"""

from __future__ import annotations

import sys
from pathlib import Path

from spk.bin.command import argument_parser, command
from spk.data.validate_data_dir import FEATURE_FILES, Checks, validate_data_dir


@command
def main() -> None:
    parser = argument_parser("validate_data_dir.sh", __doc__)
    parser.add_argument("data", type=Path, metavar="DATA")
    parser.add_argument("--no-feats", action="store_true", help=f"do not look at {', '.join(FEATURE_FILES)}")
    parser.add_argument("--no-wav", action="store_true", help="do not look at wav.scp, and do not ask for it")
    parser.add_argument("--no-text", action="store_true", help="do not look at text")
    parser.add_argument("--no-spk-sort", action="store_true", help="a speaker's id need not begin its utterances' ids")
    parser.add_argument(
        "--no-check-files",
        action="store_true",
        help="do not look whether the files are there (a million of them take minutes on a network disk)",
    )
    parser.add_argument("--allow-pipes", choices=["true", "false"], default="false", help="commands for files are fine")
    parser.add_argument("--shown", type=int, default=5, metavar="N", help="lines shown of each kind (default 5)")
    options = parser.parse_args()
    skip = [*FEATURE_FILES] * options.no_feats + ["wav.scp"] * options.no_wav + ["text"] * options.no_text
    checks = Checks(
        skip=frozenset(skip),
        need_audio=not options.no_wav,
        files_exist=not options.no_check_files,
        allow_pipes=options.allow_pipes == "true",
        speaker_order=not options.no_spk_sort,
        shown_of_each=options.shown,
    )
    findings, content = validate_data_dir(options.data, checks)
    for line in findings.lines:
        print(line, file=sys.stderr)
    if findings.count:
        sys.exit(f"validate_data_dir.sh: {options.data}: not valid; problems: {findings.count}")
    print(f"validate_data_dir.sh: {options.data}: valid, {content}", file=sys.stderr)


if __name__ == "__main__":
    main()
