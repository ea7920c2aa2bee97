"""Refuse a training set that has speakers who are in Speakers in the Wild, too.

Usage: check_sitw_overlap --overlap FILE [--metadata FILE[,FILE]] [--model EXP] DATA_DIR
Speakers on the list, and those of VoxCeleb2's test part if vox2_meta.csv is among --metadata, are printed, a line each:
speaker, utterances, why; with tabs between. Then the status is 1. With --model, so is a model that was trained on other
data than DATA_DIR, or that began from one which has seen such speakers.
"""

from __future__ import annotations

import logging
from pathlib import Path

from spk.bin.command import command
from spk.bin.sitw_overlap_options import describe, find_overlap, list_speakers, parse_options
from spk.data.data_dir import first_names
from spk.errors import InputError

log = logging.getLogger(__name__)


def trained_on(model: Path, data_dir: Path) -> set[str]:
    """The speakers whom the network of `model` and those that it began from have seen, as far as this can be known.

    Raises: InputError when it was not trained on `data_dir`.
    """
    from spk.data.files import file_digest
    from spk.train.experiment import read_run
    from spk.train.seen_speakers import changed_since, speakers_seen

    run = read_run(model)
    if run is None or "imported" in run:
        log.warning("%s was not trained here, so nobody can tell whether it has seen speakers of SITW", model)
        return set()
    if changed_since(run, data_dir):
        raise InputError(
            f"{model} was not trained on {data_dir} as it is now, but on {run['data']}; name that directory"
        )
    network = model / "final.pt"
    try:
        return speakers_seen({"file": str(network), "digest": file_digest(network)}, data_dir)
    except InputError as error:
        log.warning("whether what %s began from has seen speakers of SITW is not known: %s", model, error)
        return set()


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
        seen = sorted(who for who in trained_on(options.model, options.data_dir) if overlap.reason(who))
        if seen:
            raise InputError(
                f"{options.model} began from a network that has seen speakers of SITW: {first_names(seen)}"
            )
    log.info("%s: has none of the %d speakers on the list", options.data_dir, overlap.listed)


if __name__ == "__main__":
    main()
