"""Refuse a training set that has speakers who are in Speakers in the Wild, too.

Usage: check_sitw_overlap --overlap FILE [--metadata FILE[,FILE]] [--model EXP] [--init-from EXP] DATA_DIR
Speakers on the list, and those of VoxCeleb2's test part if vox2_meta.csv is among --metadata, are printed, a line each:
speaker, utterances, why; with tabs between. Then the status is 1. With --model, so it is for a model that was trained
on other data than DATA_DIR, or that began from one which has seen such speakers; with --init-from, for a network to
start a training from that has seen them, or that began from one which has.
"""

from __future__ import annotations

import logging
from pathlib import Path

from spk.bin.command import command
from spk.bin.seen_by_network import seen_by_network
from spk.bin.sitw_overlap_options import describe, find_overlap, list_speakers, parse_options, refuse_unknown_voxceleb2
from spk.data.data_dir import first_names
from spk.errors import InputError

log = logging.getLogger(__name__)


def check_trained_on(model: Path, data_dir: Path) -> None:
    """InputError for a model that was trained, but not on `data_dir`."""
    from spk.train.experiment import read_run
    from spk.train.seen_speakers import changed_since

    run = read_run(model)
    if run is not None and "imported" not in run and changed_since(run, data_dir):
        raise InputError(
            f"{model} was not trained on {data_dir} as it is now, but on {run['data']}; name that directory"
        )


@command
def main() -> None:
    options = parse_options("check_sitw_overlap", __doc__, "DATA_DIR", with_model=True)
    utt2spk, found, overlap = find_overlap(options)
    if found:
        list_speakers(found, utt2spk)
        raise InputError(
            f"{options.data_dir} cannot train a system for Speakers in the Wild: it has {describe(found, overlap)}; "
            "leave them (listed above) out with local/remove_sitw_overlap"
        )
    if options.model is not None:
        check_trained_on(options.model, options.data_dir)
    for system in filter(None, (options.model, options.init_from)):
        seen = seen_by_network(system, options.data_dir)
        if in_sitw := sorted(who for who in seen if overlap.reason(who)):
            raise InputError(
                f"the network of {system}, or one that it began from, has seen speakers of SITW: {first_names(in_sitw)}"
            )
        refuse_unknown_voxceleb2(f"{system}, by whom its network has seen", seen, overlap)
    log.info("%s: has none of the %d speakers on the list", options.data_dir, overlap.listed)


if __name__ == "__main__":
    main()
