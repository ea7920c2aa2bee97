"""Refuse a training set that has speakers who are in Speakers in the Wild, too.

Usage: check_sitw_overlap --overlap FILE [--metadata FILE[,FILE]] DATA_DIR
Speakers on the list, and those of VoxCeleb2's test part if vox2_meta.csv is among --metadata, are printed, a line each:
speaker, utterances, why; with tabs between. Then the status is 1.
"""

from __future__ import annotations

import logging

from spk.bin.command import command
from spk.bin.sitw_overlap_options import describe, find_overlap, list_speakers, parse_options
from spk.errors import InputError

log = logging.getLogger(__name__)


@command
def main() -> None:
    options = parse_options("check_sitw_overlap", __doc__, "DATA_DIR")
    utt2spk, found, overlap = find_overlap(options)
    if found:
        list_speakers(found, utt2spk)
        raise InputError(
            f"{options.data_dir} cannot train a system for Speakers in the Wild: it has {describe(found, overlap)}; "
            "leave them (listed above) out with local/remove_sitw_overlap"
        )
    log.info("%s: has none of the %d speakers on the list", options.data_dir, overlap.listed)


if __name__ == "__main__":
    main()
