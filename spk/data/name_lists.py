"""Lists of names, one a line: who takes no part in a step is counted and listed."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from spk.data.files import whole_file

log = logging.getLogger(__name__)


def write_names(path: str | os.PathLike[str], names: Sequence[str]) -> None:
    with whole_file(path) as file:
        file.writelines(f"{name}\n" for name in names)


def list_missing(path: Path, utterances: Sequence[str], what: str = "no embedding") -> None:
    """Log how many utterances have `what` and list them in `path`, which is removed where there are none."""
    path.unlink(missing_ok=True)
    if utterances:
        log.info("%d utterances have %s and take no part; they are listed in %s", len(utterances), what, path)
        write_names(path, utterances)
