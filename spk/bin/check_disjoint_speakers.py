"""Refuse a training set that shares speakers with a test set.

Reads utt2spk of each. Every shared speaker is a line of the output, `speaker training-utterances test-utterances
TEST_DATA`, separated by tabs; then the status is 1.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from spk.bin.command import argument_parser, command
from spk.data.data_dir import read_table
from spk.errors import InputError


def utterances_per_speaker(data_dir: Path) -> Counter[str]:
    return Counter(read_table(data_dir / "utt2spk").values())


@command
def main() -> None:
    parser = argument_parser("check_disjoint_speakers", __doc__)
    parser.add_argument("train_data", type=Path)
    parser.add_argument("test_data", type=Path, nargs="+")
    options = parser.parse_args()

    train = utterances_per_speaker(options.train_data)
    found = []
    for test_data in options.test_data:
        test = utterances_per_speaker(test_data)
        shared = sorted(train.keys() & test.keys())
        for speaker in shared:
            print(f"{speaker}\t{train[speaker]}\t{test[speaker]}\t{test_data}")
        if shared:
            count = f"{len(shared)} of its {len(test)} speakers" if len(shared) > 1 else f"speaker {shared[0]}"
            found.append(f"{test_data} shares {count} with it")
    if found:
        raise InputError(
            f"{options.train_data} cannot train a system for these tests: {'; '.join(found)}; "
            "leave the shared speakers (listed above) out of it with utils/subset_data_dir.sh"
        )


if __name__ == "__main__":
    main()
