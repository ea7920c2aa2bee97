"""RIRS_NOISES (OpenSLR 28) -> a data directory of room impulse responses: DATA/rirs.

Usage: prepare_rirs [options] RIRS_NOISES DATA
RIRS_NOISES is the unpacked folder, or the one that holds it. Written: wav.scp, utt2spk, spk2utt, utt2dur (seconds, read
from the headers) and rir2room. What cannot be read is left out, counted, and listed in rejected.tsv. When nothing has
changed since the last call, nothing is done.
"""

from __future__ import annotations

from pathlib import Path

from spk.bin.command import argument_parser, command
from spk.data.noise_dir import make_noise_dir
from spk.data.rirs import LISTS, find_rirs, list_responses


@command
def main() -> None:
    parser = argument_parser("prepare_rirs", __doc__)
    parser.add_argument(
        "--rooms",
        default="smallroom,mediumroom",
        help=f"which lists, with commas between, of {', '.join(LISTS)} (default %(default)s)",
    )
    parser.add_argument("rirs_noises", metavar="RIRS_NOISES", type=Path)
    parser.add_argument("data", metavar="DATA", type=Path)
    options = parser.parse_args()
    rooms = [room for room in options.rooms.split(",") if room]
    paths, room_of = list_responses(find_rirs(options.rirs_noises), rooms)
    make_noise_dir(options.data / "rirs", paths, room_of)


if __name__ == "__main__":
    main()
