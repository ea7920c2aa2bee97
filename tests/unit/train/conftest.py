"""A small data directory of drawn features, a system small enough to train in a second, and the command that does."""

from __future__ import annotations

import logging
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from unit.train.commands import train_command

from spk.bin.train import main
from spk.embed.write import write_embeddings
from spk.feats import FRONT_ENDS

SYSTEM = {
    "features": {"name": "fbank40"},
    "network": {"name": "fast_resnet34", "channels": 0.25, "embedding_dim": 8, "pooling": "sap"},
    "loss": {"name": "dam_softmax"},
    "curriculum": {"margin": {"start": 0.0, "end": 0.5}},
    "batch": {"size": 4, "crop_frames": 20},
    "optimizer": {"name": "adam", "lr": 0.003},
    "schedule": {"name": "one_cycle"},
    "train": {"steps": 12, "log_every": 2, "save_every": 3, "keep_checkpoints": 2, "threads": 1},
    "validation": {"speakers": 2, "utterances_per_speaker": 3, "every": 4},
    "seed": 3,
}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return write_data_dir(tmp_path / "data")


def write_data_dir(folder: Path) -> Path:
    """8 speakers, 4 utterances each, of features that tell the speakers apart; one is shorter than a crop."""
    random = np.random.default_rng(0)
    folder.mkdir()
    table = {}
    for speaker in range(8):
        colour = random.normal(size=40)
        for utterance in range(4):
            length = 12 if (speaker, utterance) == (0, 0) else int(random.integers(25, 60))
            table[f"s{speaker}-{utterance}"] = (colour + random.normal(size=(length, 40))).astype(np.float32)
    write_matrices(folder, table)
    (folder / "feats.yaml").write_text(yaml.safe_dump(FRONT_ENDS.check("features", {"name": "fbank40"})))
    return folder


def write_matrices(folder: Path, table: dict[str, np.ndarray]) -> None:
    write_embeddings(str(folder / "feats"), list(table), list(table.values()))
    lines = {
        "utt2spk": [f"{name} {name.split('-')[0]}" for name in table],
        "utt2num_frames": [f"{name} {len(matrix)}" for name, matrix in table.items()],
    }
    for name, content in lines.items():
        (folder / name).write_text("\n".join(content) + "\n")


@pytest.fixture
def system_yaml(tmp_path: Path) -> Path:
    return write_system(tmp_path / "system.yaml")


def write_system(path: Path, system: Mapping[str, Any] = SYSTEM) -> Path:
    path.write_text(yaml.safe_dump(dict(system)))
    return path


def train_in(folder: Path, system: Mapping[str, Any] = SYSTEM) -> Path:
    """The experiment directory of `system` trained on the data directory, all below `folder`."""
    command = train_command(
        write_system(folder / "system.yaml", system), write_data_dir(folder / "data"), folder / "exp"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["train", *map(str, command[3:])])
        main()
    return folder / "exp"


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """The experiment directory of `system_yaml` trained on `data_dir`, not to be written to."""
    return train_in(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def exp(trained, tmp_path) -> Path:
    """A copy of `trained`."""
    return shutil.copytree(trained, tmp_path / "exp")


@dataclass
class Finished:
    returncode: int
    stderr: str


@pytest.fixture
def train(monkeypatch, caplog):
    """`train(system, data, exp, *overrides)` runs the command in this process, which is faster than a new one."""

    def run(*arguments) -> Finished:
        caplog.clear()
        monkeypatch.setattr(sys, "argv", ["train", *map(str, train_command(*arguments)[3:])])
        with caplog.at_level(logging.INFO):
            try:
                main()
            except SystemExit as stopped:
                return Finished(int(stopped.code is not None), f"{caplog.text}{stopped.code}")
        return Finished(0, caplog.text)

    return run
