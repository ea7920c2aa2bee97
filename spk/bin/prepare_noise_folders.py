"""One's own noises and room responses -> data directories DATA/{noise,rir}_{train,test}.

Usage: prepare_noise_folders DIR DATA
DIR has noise/<class>/*.wav (or .flac), rir/*.wav, or both. DIR/noise.tsv and DIR/rir.tsv say which are for testing:
tables with tabs between the columns, which the first line names; path (below DIR) and split (train or test) are needed.
Without them all are for training. Written: wav.scp, utt2spk, spk2utt and utt2dur (seconds, by the headers). What cannot
be read is left out, counted, and listed in rejected.tsv. When nothing has changed since the last call, nothing is done.
"""

from __future__ import annotations

import logging
from pathlib import Path

from spk.bin.command import argument_parser, command
from spk.data.noise_dir import make_noise_dir
from spk.data.noise_folders import SPLITS, list_split
from spk.errors import InputError

log = logging.getLogger(__name__)


@command
def main() -> None:
    parser = argument_parser("prepare_noise_folders", __doc__)
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("data", metavar="DATA", type=Path)
    options = parser.parse_args()
    kinds = [kind for kind in ("noise", "rir") if (options.folder / kind).is_dir()]
    if not kinds:
        raise InputError(f"{options.folder}: has neither a folder noise nor a folder rir")
    sets = {(kind, split): paths for kind in kinds for split, paths in list_split(options.folder, kind).items()}
    if not any(sets.values()):
        raise InputError(f"{options.folder}: no .wav or .flac file is in {' or '.join(kinds)}")
    made = {f"{kind}_{split}": paths for (kind, split), paths in sets.items() if paths}
    for name, paths in made.items():
        make_noise_dir(options.data / name, paths)
    lacking = [f"{kind}_{split}" for kind in ("noise", "rir") for split in SPLITS if f"{kind}_{split}" not in made]
    log.info("%s has %s%s", options.data, ", ".join(made), f"; there is no {', no '.join(lacking)}" if lacking else "")
    for kind in kinds:
        table = options.folder / f"{kind}.tsv"
        if not table.exists() and f"{kind}_train" in made:
            log.info("%s: not there, so no recording of %s is kept for testing", table, options.folder / kind)


if __name__ == "__main__":
    main()
