"""MUSAN (OpenSLR 17) -> data directories of noises: DATA/musan_noise, DATA/musan_music, DATA/musan_speech.

Usage: prepare_musan [options] MUSAN DATA
MUSAN is the unpacked folder, or the one that holds it. Written: wav.scp, utt2spk, spk2utt and utt2dur (seconds, read
from the headers). What cannot be read is left out, counted, and listed in rejected.tsv. When nothing has changed since
the last call, nothing is done.
"""

from __future__ import annotations

from pathlib import Path

from spk.bin.command import argument_parser, command
from spk.data.musan import KINDS, find_musan, list_recordings, without_vocals
from spk.data.noise_dir import make_noise_dir
from spk.errors import InputError


@command
def main() -> None:
    parser = argument_parser("prepare_musan", __doc__)
    parser.add_argument(
        "--use-vocals",
        choices=["true", "false"],
        default="true",
        help="false leaves out music in which somebody sings, by the ANNOTATIONS (default %(default)s)",
    )
    parser.add_argument("musan", metavar="MUSAN", type=Path)
    parser.add_argument("data", metavar="DATA", type=Path)
    options = parser.parse_args()
    root = find_musan(options.musan)
    recordings = {kind: list_recordings(root, kind) for kind in KINDS}
    if options.use_vocals == "false":
        recordings["music"] = without_vocals(root, recordings["music"])
        if not recordings["music"]:
            raise InputError(f"{root / 'music'}: no music without vocals; are the ANNOTATIONS there?")
    for kind, paths in recordings.items():
        make_noise_dir(options.data / f"musan_{kind}", paths)


if __name__ == "__main__":
    main()
