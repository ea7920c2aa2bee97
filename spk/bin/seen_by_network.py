"""Whom a network has seen, for the commands that refuse a training because of it."""

from __future__ import annotations

import logging
from pathlib import Path

from spk.errors import InputError

log = logging.getLogger(__name__)


def seen_by_network(init_from: Path, data_dir: Path) -> set[str]:
    """The speakers that the network of a system, and those that it began from, were trained or validated with.

    As far as this is known: a network, or what it was trained on, may be gone, now another, or not be here yet; a
    warning says so. `data_dir` is looked at first, where the data lay then after that.
    """
    from spk.data.files import file_digest
    from spk.train.initialization import initial_file
    from spk.train.seen_speakers import speakers_of_each

    network = initial_file(init_from)
    seen: set[str] = set()
    if not network.is_file():
        log.warning("warning: %s is not there, so whom it has seen is not known", network)
        return seen
    try:
        for speakers in speakers_of_each(
            {"file": str(network), "digest": file_digest(network)}, data_dir, with_held_out=True
        ):
            seen |= speakers
    except InputError as error:
        log.warning("warning: not all is known of whom the network of %s has seen: %s", init_from, error)
    return seen
