"""A comparison as grid and training leave it, without training: scores, logs and configs of margins by seeds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import yaml

from spk.data.scores import write_scores
from spk.data.trials import read_trials

SEEDS = (1, 2, 3)
NUM_ROWS = 60  # of training.csv and cosines.csv, a step each
# System -> (its loss, how far apart its scores of targets and non-targets are)
SYSTEMS = {
    "am_0.1": ({"loss.name": "am_softmax", "loss.margin": 0.1}, 2.0),
    "am_0.2": ({"loss.name": "am_softmax", "loss.margin": 0.2}, 2.2),
    "am_0.4": ({"loss.name": "am_softmax", "loss.margin": 0.4}, 1.8),
    "dam_0.1": ({"loss.name": "dam_softmax", "loss.margin": 0.1}, 2.4),
    "dam_0.2": ({"loss.name": "dam_softmax", "loss.margin": 0.2}, 3.6),
    "softmax_without_margin": ({"loss.name": "softmax"}, 0.8),
}


def write_tree(folder: Path) -> Path:
    """FOLDER/grid.yaml, and FOLDER/exp with all runs; the path of the grid."""
    base = {
        "features": {"name": "fbank40"},
        "network": {"name": "fast_resnet34"},
        "loss": {"name": "softmax"},
        "optimizer": {"name": "adam"},
        "schedule": {"name": "constant"},
        "train": {"steps": NUM_ROWS},
    }
    (folder / "base.yaml").write_text(yaml.safe_dump(base))
    grid = {
        "config": str(folder / "base.yaml"),
        "seeds": list(SEEDS),
        "reference": "am_0.2",
        "differ": ["loss"],
        "systems": {name: keys for name, (keys, _) in SYSTEMS.items()},
    }
    (folder / "grid.yaml").write_text(yaml.safe_dump(grid, sort_keys=False))
    utterances = [f"s{speaker:02}-{number}" for speaker in range(16) for number in range(4)]
    (folder / "utt2spk").write_text("".join(f"{name} {name[:3]}\n" for name in utterances))
    pairs = [(a, b) for place, a in enumerate(utterances) for b in utterances[:place]]
    labels = ["target" if a[:3] == b[:3] else "nontarget" for a, b in pairs]
    lines = [f"{a} {b} {label}\n" for (a, b), label in zip(pairs, labels, strict=True)]
    (folder / "trials").write_text("".join(lines))
    random = np.random.default_rng(1)
    for name, (keys, distance) in SYSTEMS.items():
        for seed in SEEDS:
            write_run(folder / "exp" / f"{name}_seed{seed}", folder / "trials", keys, distance, random)
    return folder / "grid.yaml"


def write_run(
    folder: Path, trials_path: Path, keys: dict[str, object], distance: float, random: np.random.Generator
) -> None:
    folder.mkdir(parents=True)
    trials = read_trials(str(trials_path))
    for backend in ("cosine", "plda"):
        values = random.normal(size=len(trials.is_target)) + distance * trials.is_target
        write_scores(folder / f"scores_test_{backend}", trials, values)
        description = {"trials": str(trials_path), "backend": backend}
        (folder / f"scores_test_{backend}.json").write_text(json.dumps(description))
    run = {
        "commit": "0123abc",
        "versions": {"torch": "2"},
        "machine": {"cpu": "one"},
        "data": "data/train",
        "data_digests": {"feats.scp": "f" * 64},
    }
    (folder / "run.json").write_text(json.dumps(run))
    loss = {key.removeprefix("loss."): value for key, value in keys.items()}
    (folder / "config.yaml").write_text(yaml.safe_dump({"loss": loss}))
    lines = ["step,epoch,loss,lr,crops_per_second,validation_eer"]
    for step in range(1, NUM_ROWS + 1):
        eer = f"{0.3 / distance + 0.2 / step + 0.01 * random.normal():.6g}" if step % 10 == 0 else ""
        lines.append(f"{step},{step / 20},{8 / step + random.random():.6g},0.001,50,{eer}")
    (folder / "training.csv").write_text("\n".join(lines) + "\n")
    if loss["name"] == "softmax":
        return  # has no cosines
    rows = [",".join(["step", *map(str, range(100))])]
    for step in range(1, NUM_ROWS + 1):
        cosines = np.clip(random.normal(0.6 * step / NUM_ROWS, 0.15, size=64), -1, 1)
        counts = np.histogram(cosines, 100, (-1, 1))[0]
        rows.append(",".join(map(str, [step, *counts])))
    (folder / "cosines.csv").write_text("\n".join(rows) + "\n")
