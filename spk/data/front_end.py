"""The front end that made a data directory's features."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from spk.config import read_yaml


def features_of(data_dir: str | os.PathLike[str]) -> dict[str, Any] | None:
    """DATA/feats.yaml; None where there is none, as with features that another program made."""
    path = Path(data_dir) / "feats.yaml"
    return read_yaml(path) if path.exists() else None
