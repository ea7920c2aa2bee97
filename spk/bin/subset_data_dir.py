"""Write a data directory with some of the utterances of another. Every choice is repeatable.

Usage: subset_data_dir.sh [--first | --last | --shortest | --speakers | --per-spk] SOURCE N DESTINATION
       subset_data_dir.sh --utt-list FILE | --spk-list FILE SOURCE DESTINATION

Without an option: N utterances at even distances in the sorted list. Trial lists stay with SOURCE.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from spk.bin.command import argument_parser, command
from spk.data.data_dir import check_source, count_and_name, read_table, trial_lists, write_parts
from spk.data.subset_data_dir import by_speaker, first, last, listed, per_speaker, shortest, spread, whole_speakers
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
    utt2spk = read_table(source / "utt2spk")
    utterances = sorted(utt2spk)
    if list_file:
        known = set(utt2spk.values()) if options.spk_list else set(utterances)
        wanted, unknown = listed(known, list_file)
        if unknown:
            say(f"{list_file}: not in {source / 'utt2spk'}, {count_and_name(unknown)}")
        chosen = [utt for utt in utterances if (utt2spk[utt] if options.spk_list else utt) in wanted]
        if not chosen:
            raise InputError(f"{list_file}: nothing in it is in {source / 'utt2spk'}")
    else:
        chosen = choose(options, utterances, utt2spk, source)
    for line in write_parts(source, utt2spk, [(destination, chosen)]):
        say(line)
    for path in trial_lists(source):
        say(f"{path} is left out: a list of trials stays with its directory")
    num_speakers = len(by_speaker(chosen, utt2spk))
    say(f"{destination}: {len(chosen)} of {len(utterances)} utterances, of {num_speakers} speakers")


def choose(options: argparse.Namespace, utterances: list[str], utt2spk: dict[str, str], source: Path) -> list[str]:
    """The utterances by number."""
    count = options.words[1]
    if not count.isdecimal() or int(count) < 1:
        raise InputError(f"{count!r} is not a number of utterances (SOURCE N DESTINATION; see --help)")
    count = int(count)
    if options.per_spk:
        return per_speaker(utterances, count, utt2spk)
    if count > len(utterances):
        raise InputError(f"{source}: has {len(utterances)} utterances, fewer than the {count} asked for")
    if options.first:
        return first(utterances, count)
    if options.last:
        return last(utterances, count)
    if options.shortest:
        return shortest(utterances, count, source)
    if options.speakers:
        return whole_speakers(utterances, count, utt2spk)
    return spread(utterances, count)


def say(line: str) -> None:
    print(f"subset_data_dir.sh: {line}", file=sys.stderr)


if __name__ == "__main__":
    main()
