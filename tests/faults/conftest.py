"""The small data directory, system and training command of tests/unit/train, and folders that cannot be written to."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from unit.train.conftest import data_dir, exp, system_yaml, train, trained

__all__ = ["data_dir", "exp", "system_yaml", "train", "trained"]


@pytest.fixture
def protected_folder(tmp_path, shell) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """`protected_folder(line)` runs a line in a folder with `theirs`, which belongs to another user and is protected.

    As root, without root's right to write everywhere.
    """
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    if os.geteuid() != 0:
        theirs.chmod(0o555)
        return shell
    os.chown(theirs, 65534, 65534)
    rights = "-dac_override,-dac_read_search,-fowner"
    without = f"setpriv --bounding-set={rights} --inh-caps={rights}"
    if subprocess.run([*without.split(), "true"], capture_output=True).returncode != 0:
        pytest.skip("root's rights cannot be given up here (setpriv)")
    return lambda line: shell(f"{without} bash -c {line!r}")


def fill(disk: Path) -> None:
    """Leave no byte of a file system free."""
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
        while file.write(b"\0" * 4096):
            pass
