"""Write a data directory with some of the utterances of another. Every choice is repeatable.

Usage: subset_data_dir.sh [--first | --last | --shortest | --speakers | --per-spk] SOURCE N DESTINATION
       subset_data_dir.sh --utt-list FILE | --spk-list FILE SOURCE DESTINATION

Without an option: N utterances at even distances in the sorted list. Trial lists stay with SOURCE.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from spk.bin.command import argument_parser, command
from spk.data.data_dir import at, check_source, count_and_name, read_sorted, trial_lists, write_parts
from spk.data.subset_data_dir import listed, of_listed, per_speaker, shortest, spread, whole_speakers
from spk.errors import InputError


@command
def main() -> None:
    parser = argument_parser("subset_data_dir.sh", __doc__, usage=argparse.SUPPRESS)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--first", action="store_true", help="the first N utterances")
    how.add_argument("--last", action="store_true", help="the last N utterances")
    how.add_argument("--shortest", action="store_true", help="the N shortest, by utt2num_frames or utt2dur")
    how.add_argument(
        "--speakers", action="store_true", help="whole speakers, drawn until there are N utterances or more"
    )
    how.add_argument("--per-spk", action="store_true", help="N utterances of each speaker, all of those who have fewer")
    how.add_argument(
        "--utt-list", type=Path, metavar="FILE", help="the utterances that FILE lists (first words of lines)"
    )
    how.add_argument(
        "--spk-list", type=Path, metavar="FILE", help="the speakers that FILE lists (first words of lines)"
    )
    parser.add_argument("words", nargs="+", metavar="SOURCE [N] DESTINATION")
    options = parser.parse_args()

    list_file = options.utt_list or options.spk_list
    if len(options.words) != (2 if list_file else 3):
        raise InputError(f"takes {'SOURCE DESTINATION' if list_file else 'SOURCE N DESTINATION'} (see --help)")
    source, destination = Path(options.words[0]), Path(options.words[-1])
    check_source(source, destination)
    utterances, speakers = read_sorted(source / "utt2spk")
    if list_file:
        chosen, unknown = listed(utterances, list_file) if options.utt_list else of_listed(speakers, list_file)
        if unknown:
            say(f"{list_file}: not in {source / 'utt2spk'}, {count_and_name(unknown)}")
        if not chosen:
            raise InputError(f"{list_file}: nothing in it is in {source / 'utt2spk'}")
    else:
        chosen = sorted(choose(options, utterances, speakers, source))
    for line in write_parts(source, utterances, speakers, [(destination, chosen)]):
        say(line)
    for path in trial_lists(source):
        say(f"{path} is left out: a list of trials stays with its directory")
    num_speakers = len(set(at(speakers, chosen)))
    say(f"{destination}: {len(chosen)} of {len(utterances)} utterances, of {num_speakers} speakers")


def choose(options: argparse.Namespace, utterances: list[str], speakers: list[str], source: Path) -> Sequence[int]:
    """By number, in any order: rows of the utterances."""
    count = options.words[1]
    if not count.isdecimal() or int(count) < 1:
        raise InputError(f"{count!r} is not a number of utterances (SOURCE N DESTINATION; see --help)")
    count = int(count)
    if options.per_spk:
        return per_speaker(speakers, count)
    if count > len(utterances):
        raise InputError(f"{source}: has {len(utterances)} utterances, fewer than the {count} asked for")
    rows = range(len(utterances))
    if options.first:
        return rows[:count]
    if options.last:
        return rows[-count:]
    if options.shortest:
        return shortest(utterances, count, source)
    if options.speakers:
        return whole_speakers(speakers, count)
    return spread(rows, count)


def say(line: str) -> None:
    print(f"subset_data_dir.sh: {line}", file=sys.stderr)


if __name__ == "__main__":
    main()
