"""Whom a network has seen, for the commands that refuse a training because of it."""

from __future__ import annotations

import logging
from pathlib import Path

from spk.errors import InputError

log = logging.getLogger(__name__)


def seen_by_network(init_from: Path, data_dir: Path) -> set[str]:
    """The speakers that the network of a system, and those that it began from, were trained or validated with.

    As far as this is known: what one of them was trained on may be gone, now another, or never have been here; a
    warning says so. `data_dir` is looked at first, where the data lay then after that. Raises: InputError when there is
    no network.
    """
    from spk.data.files import file_digest
    from spk.train.initialization import initial_file
    from spk.train.seen_speakers import speakers_of_each

    network = initial_file(init_from)
    if not network.is_file():
        raise InputError(f"{network}: no such file; train that system first")
    seen: set[str] = set()
    try:
        for speakers in speakers_of_each(
            {"file": str(network), "digest": file_digest(network)}, data_dir, with_held_out=True
        ):
            seen |= speakers
    except InputError as error:
        log.warning("warning: not all is known of whom the network of %s has seen: %s", init_from, error)
    return seen
