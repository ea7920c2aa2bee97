"""All that a trained system is used with, in one file: a zip of those files of an experiment directory."""

from __future__ import annotations

import contextlib
import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from spk.data.files import whole_file
from spk.errors import InputError

SUFFIX = ".spk"
NETWORK = "final.pt"
# The network with its config, and what back-ends and calibration are read from.
PARTS = (
    NETWORK,
    *(f"backend_lda/{name}" for name in ("mean.vec", "transform.mat")),
    *(f"backend_plda/{name}" for name in ("mean.vec", "transform.mat", "plda", "plda.json")),
    "calibration/calibration.json",
)


def write_bundle(exp: Path, path: str | os.PathLike[str]) -> list[str]:
    """Write those of PARTS that EXP has, and return their names. Raises: InputError without a network."""
    parts = [name for name in PARTS if (exp / name).is_file()]
    if NETWORK not in parts:
        raise InputError(f"{exp / NETWORK}: no such file; train first")
    with whole_file(path, "wb") as file, zipfile.ZipFile(file, "w") as archive:
        for name in parts:
            # One date for all, so that the same system is the same bytes.
            archive.writestr(zipfile.ZipInfo(name), (exp / name).read_bytes())
    return parts


@contextlib.contextmanager
def unpacked(model: str | os.PathLike[str]) -> Iterator[Path]:
    """The directory that is named; of a file of write_bundle, a temporary one with its parts.

    Raises: InputError for what is neither, or damaged.
    """
    path = Path(model)
    if not path.exists():
        raise InputError(f"{path}: no such file or directory; give the directory of a trained system")
    if path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="spk.") as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                names = [name for name in PARTS if name in archive.namelist()]
                if NETWORK not in names:
                    raise InputError(
                        f"{path}: holds no {NETWORK}; give the directory of a trained system, or its {SUFFIX}"
                    )
                archive.extractall(folder, names)  # which checks their sums
        except zipfile.BadZipFile as error:
            raise InputError(
                f"{path}: is no directory of a trained system, and no {SUFFIX} file that can be read ({error})"
            ) from None
        yield Path(folder)
