"""Turn utt2spk (a file, or standard input) into spk2utt on standard output, sorted."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from spk.bin.command import command
from spk.data.data_dir import encode, read_table, speakers_to_utterances


@command
def main() -> None:
    parser = argparse.ArgumentParser(prog="utt2spk_to_spk2utt", description=__doc__)
    parser.add_argument("utt2spk", type=Path, nargs="?", default=Path("/dev/stdin"), metavar="UTT2SPK")
    table = speakers_to_utterances(read_table(parser.parse_args().utt2spk))
    sys.stdout.buffer.write(encode("".join([f"{speaker} {table[speaker]}\n" for speaker in sorted(table)])))


if __name__ == "__main__":
    main()
