"""The small data directory, system and training command of tests/unit/train, and folders that cannot be written to."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from unit.train.commands import train_command
from unit.train.conftest import data_dir, system_yaml, train, write_data_dir, write_system

from spk.bin.train import main

__all__ = ["data_dir", "system_yaml", "train"]


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """The experiment directory of `system_yaml` trained on `data_dir`, not to be written to."""
    folder = tmp_path_factory.mktemp("trained")
    command = train_command(write_system(folder / "system.yaml"), write_data_dir(folder / "data"), folder / "exp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train", *map(str, command[3:])])
        main()
    return folder / "exp"


@pytest.fixture
def exp(trained, tmp_path) -> Path:
    """A copy of `trained`."""
    return shutil.copytree(trained, tmp_path / "exp")


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
