"""Refuse a training set that shares speakers with a test set.

Usage: check_disjoint_speakers [--init-from EXP] TRAIN_DATA TEST_DATA...
Reads utt2spk of each. Copies at other speeds are the same speaker: sp0.9-id10270 is id10270. Every shared speaker is a
line of the output, `speaker training-utterances test-utterances TEST_DATA`, separated by tabs; then the status is 1.
With --init-from, so are the speakers whom the network that training starts from has seen, or one that this began from
in turn: training-utterances is 0 for those who are not in TRAIN_DATA. Where this is not known, a warning says so.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from spk.bin.command import argument_parser, command
from spk.bin.seen_by_network import seen_by_network
from spk.data.data_dir import read_table
from spk.data.original_speaker import original
from spk.errors import InputError


def utterances_per_speaker(data_dir: Path) -> Counter[str]:
    return Counter(read_table(data_dir / "utt2spk").values())


def some_of(shared: list[str], num_speakers: int) -> str:
    return f"{len(shared)} of the {num_speakers} speakers" if len(shared) > 1 else f"speaker {shared[0]}"


@command
def main() -> None:
    parser = argument_parser("check_disjoint_speakers", __doc__)
    parser.add_argument("--init-from", type=Path, metavar="EXP", help="a system that training starts from")
    parser.add_argument("train_data", type=Path)
    parser.add_argument("test_data", type=Path, nargs="+")
    options = parser.parse_args()

    train = utterances_per_speaker(options.train_data)
    seen: set[str] = set()
    if options.init_from is not None:
        seen = {original(speaker) for speaker in seen_by_network(options.init_from, options.train_data)}
    trained = {original(speaker) for speaker in train}
    in_training, in_network = [], []
    for test_data in options.test_data:
        test: Counter[str] = Counter()
        for speaker, count in utterances_per_speaker(test_data).items():
            test[original(speaker)] += count
        for speaker in sorted(train.keys() | (seen - trained)):
            if original(speaker) in test:
                print(f"{speaker}\t{train[speaker]}\t{test[original(speaker)]}\t{test_data}")
        if shared := sorted(trained & test.keys()):
            in_training.append(f"{some_of(shared, len(test))} of {test_data}")
        if shared := sorted(seen & test.keys()):
            in_network.append(f"{some_of(shared, len(test))} of {test_data}")
    if in_training:
        raise InputError(
            f"{options.train_data} cannot train a system for these tests: it has {', and '.join(in_training)}; "
            "leave the shared speakers (listed above) out of it with utils/subset_data_dir.sh"
        )
    if in_network:
        raise InputError(
            f"the network of {options.init_from} cannot begin a system for these tests: it has seen "
            f"{', and '.join(in_network)} (listed above); start from another, or from none"
        )


if __name__ == "__main__":
    main()
