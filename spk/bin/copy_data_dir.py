"""Copy a data directory, with new ids if wanted. Where utterances get new ids, utt2uniq leads back to the old ones."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from spk.bin.command import command
from spk.data.copy_data_dir import Renaming, copy_data_dir


@command
def main() -> None:
    parser = argparse.ArgumentParser(prog="copy_data_dir.sh", description=__doc__)
    parser.add_argument("source", type=Path, metavar="SOURCE")
    parser.add_argument("destination", type=Path, metavar="DESTINATION")
    for unit, name in (("utt", "utterance"), ("spk", "speaker")):
        for part in ("prefix", "suffix"):
            parser.add_argument(f"--{unit}-{part}", default="", metavar="TEXT", help=f"{part} for each {name}'s id")
    parser.add_argument(
        "--add-speaker-prefix",
        choices=["true", "false"],
        default="false",
        help="put the speaker and a dash before utterances that do not begin with their speaker (default false)",
    )
    options = vars(parser.parse_args(join_values(sys.argv[1:])))
    source, destination = options.pop("source"), options.pop("destination")
    options["add_speaker_prefix"] = options["add_speaker_prefix"] == "true"
    for line in copy_data_dir(source, destination, Renaming(**options)):
        print(f"copy_data_dir.sh: {line}", file=sys.stderr)
    print(f"copy_data_dir.sh: {destination}: a copy of {source}", file=sys.stderr)


def join_values(words: list[str]) -> list[str]:
    """`--utt-suffix -reverb` as `--utt-suffix=-reverb`, which argparse does not take for two options."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1].endswith(("-prefix", "-suffix")) and word.startswith("-"):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


if __name__ == "__main__":
    main()
