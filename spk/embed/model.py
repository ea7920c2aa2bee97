"""Load a trained network from its experiment directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spk.data.torch_files import load
from spk.errors import InputError
from spk.nets.embedder import Embedder, build_embedder


def load_model(exp_dir: Path) -> tuple[Embedder, dict[str, Any]]:
    """(network in evaluation mode, the system's config) from EXP/final.pt."""
    saved = load(exp_dir / "final.pt")
    try:
        config = saved["config"]
        embedder = build_embedder(config["normalization"], config["network"], num_bins=saved["num_bins"])
        embedder.load_state_dict(saved["embedder"])
    except (KeyError, RuntimeError) as error:
        raise InputError(f"{exp_dir / 'final.pt'}: does not hold a network of this kind ({error})") from None
    return embedder.eval(), config
