"""An experiment directory whose network was trained elsewhere: the files that steps read are there."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from spk.config import SystemConfig
from spk.data.files import file_digest, read_json, whole_file, write_json
from spk.embed.model import save_model
from spk.errors import InputError
from spk.nets.embedder import Embedder
from spk.train.experiment import check_same_config, describe_command, read_config


def is_imported(exp_dir: Path, config: SystemConfig, checkpoint: Path) -> bool:
    """Whether the directory holds just this import; false when it is new. InputError when it holds anything else."""
    begun = read_config(exp_dir)
    if begun is None:
        return False
    before = read_json(exp_dir / "run.json").get("imported")
    if before is None or before["digest"] != file_digest(checkpoint):
        holds = f"the network imported from {before['file']}" if before else "a network that was trained there"
        raise InputError(f"{exp_dir} holds {holds}; name another directory, or delete this one")
    check_same_config(exp_dir, begun, config)
    return (exp_dir / "final.pt").exists()


def write_imported(
    exp_dir: Path,
    config: SystemConfig,
    embedder: Embedder,
    num_bins: int,
    checkpoint: Path,
    overrides: list[str],
    source: str,
) -> None:
    """Write run.json, config.yaml and, last, final.pt, whose step is 0: none was made here."""
    imported = {"file": os.fspath(checkpoint), "digest": file_digest(checkpoint)}
    write_json(exp_dir / "run.json", {"imported": imported, **describe_command(overrides, source)})
    with whole_file(exp_dir / "config.yaml") as file:
        yaml.safe_dump(config.as_dict(), file, sort_keys=False)
    save_model(exp_dir, config, num_bins, embedder.state_dict(), step=0)
