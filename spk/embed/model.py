"""EXP/final.pt: the weights of a trained network, and the config that says what they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from spk.config import SystemConfig
from spk.data.torch_files import load, save
from spk.errors import InputError
from spk.nets.embedder import Embedder, build_embedder


def save_model(
    exp_dir: Path,
    config: SystemConfig,
    num_bins: int,
    weights: Mapping[str, Tensor],
    step: int,
    validation_eer: float | None = None,
) -> None:
    """Write EXP/final.pt: an embedder's state dict, its front end's bins, and the training step that it is of."""
    content = {
        "config": config.as_dict(),
        "num_bins": num_bins,
        "step": step,
        "validation_eer": validation_eer,
        "embedder": {name: value.cpu() for name, value in weights.items()},
    }
    save(exp_dir / "final.pt", content)


def load_model(exp_dir: Path) -> tuple[Embedder, dict[str, Any]]:
    """(network in evaluation mode, the system's config) from EXP/final.pt."""
    path = exp_dir / "final.pt"
    try:
        saved = load(path)
    except InputError as error:
        hint = "; delete it, and the stage that made it writes it again" if path.exists() else ""
        raise InputError(f"{error}{hint}") from None
    try:
        config = saved["config"]
        embedder = build_embedder(config["normalization"], config["network"], num_bins=saved["num_bins"])
        embedder.load_state_dict(saved["embedder"])
    except (KeyError, RuntimeError) as error:
        raise InputError(f"{path}: does not hold a network of this kind ({error})") from None
    return embedder.eval(), config
