"""Write a training set without the speakers who are in Speakers in the Wild, too.

Usage: remove_sitw_overlap --overlap FILE [--metadata FILE[,FILE]] DATA_DIR NEW_DATA_DIR
NEW_DATA_DIR is DATA_DIR without the speakers on the list, and without those of VoxCeleb2's test part if vox2_meta.csv
is among --metadata. Who they are is printed, a line each: speaker, utterances, why; with tabs between. Trial lists stay
with DATA_DIR. An entry of the list that names nobody known is an error: then nothing is written.
"""

from __future__ import annotations

import logging

from spk.bin.command import command
from spk.bin.sitw_overlap_options import describe, find_overlap, list_speakers, parse_options
from spk.data.data_dir import check_source, sort_columns, trial_lists, write_parts
from spk.errors import InputError

log = logging.getLogger(__name__)


@command
def main() -> None:
    options = parse_options("remove_sitw_overlap", __doc__, "DATA_DIR", "NEW_DATA_DIR")
    source, destination = options.data_dir, options.new_data_dir
    check_source(source, destination)
    utt2spk, found, overlap = find_overlap(options)
    utterances, speakers = sort_columns(list(utt2spk), list(utt2spk.values()))
    kept = [row for row, speaker in enumerate(speakers) if speaker not in found]
    if not kept:
        raise InputError(f"{source}: all its speakers are in Speakers in the Wild, too; nobody is left")
    for line in write_parts(source, utterances, speakers, [(destination, kept)]):
        log.info("%s", line)
    for path in trial_lists(source):
        log.info("%s is left out: a list of trials stays with its directory", path)
    list_speakers(found, utt2spk)
    log.info("%s: had %s", source, describe(found, overlap))
    log.info("%s: %d of %d utterances", destination, len(kept), len(utt2spk))


if __name__ == "__main__":
    main()
