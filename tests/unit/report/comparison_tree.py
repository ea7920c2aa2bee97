"""A comparison as grid and training leave it, without training: scores, logs and configs of margins by seeds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml

from spk.data.scores import write_scores
from spk.data.trials import read_trials

SEEDS = (1, 2, 3)
BACKENDS = ("cosine", "plda")
NUM_ROWS = 60  # of training.csv and cosines.csv, a step each
RATE = 50  # crops a second
# System -> (its loss, how far apart its scores of targets and non-targets are)
SYSTEMS = {
    "am_0.1": ({"loss.name": "am_softmax", "loss.margin": 0.1}, 2.0),
    "am_0.2": ({"loss.name": "am_softmax", "loss.margin": 0.2}, 2.2),
    "dam_0.2": ({"loss.name": "dam_softmax", "loss.margin": 0.2}, 3.6),
    "softmax_without_margin": ({"loss.name": "softmax"}, 0.8),
}
REFERENCE = "am_0.2"


def write_tree(
    folder: Path,
    systems: Mapping[str, tuple[dict[str, object], float]] = SYSTEMS,
    seeds: Sequence[int] = SEEDS,
    backends: Sequence[str] = BACKENDS,
    models: str = "exp",
    test_sets: Sequence[str] = ("test",),
    num_speakers: int = 12,
) -> Path:
    """FOLDER/grid.yaml, FOLDER/exp with scores of all runs, FOLDER/<models> with their logs; the path of the grid."""
    base = {
        "features": {"name": "fbank40"},
        "network": {"name": "fast_resnet34"},
        "loss": {"name": "softmax"},
        "optimizer": {"name": "adam"},
        "schedule": {"name": "constant"},
        "batch": {"size": 200},
        "train": {"steps": NUM_ROWS},
    }
    (folder / "base.yaml").write_text(yaml.safe_dump(base))
    grid = {
        "config": str(folder / "base.yaml"),
        "seeds": list(seeds),
        "reference": REFERENCE,
        "differ": ["loss"],
        "systems": {name: keys for name, (keys, _) in systems.items()},
    }
    (folder / "grid.yaml").write_text(yaml.safe_dump(grid, sort_keys=False))
    utterances = [f"s{speaker:03}-{number}" for speaker in range(num_speakers) for number in range(4)]
    (folder / "utt2spk").write_text("".join(f"{name} {name[:4]}\n" for name in utterances))
    pairs = [(a, b) for place, a in enumerate(utterances) for b in utterances[:place]]
    labels = ["target" if a[:4] == b[:4] else "nontarget" for a, b in pairs]
    lines = [f"{a} {b} {label}\n" for (a, b), label in zip(pairs, labels, strict=True)]
    (folder / "trials").write_text("".join(lines))
    trials = read_trials(folder / "trials")
    random = np.random.default_rng(1)
    for name, (keys, distance) in systems.items():
        for seed in seeds:
            for test_set in test_sets:
                for backend in backends:
                    values = random.normal(size=len(pairs)) + distance * trials.is_target
                    path = folder / "exp" / f"{name}_seed{seed}" / f"scores_{test_set}_{backend}"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_scores(path, trials, values)
                    description = {"trials": str(folder / "trials"), "backend": backend}
                    Path(f"{path}.json").write_text(json.dumps(description))
            (folder / "exp" / f"{name}_seed{seed}" / ".run.done").write_text("{}")
            write_training(folder / models / f"{name}_seed{seed}", keys, distance, random)
    return folder / "grid.yaml"


def write_training(folder: Path, keys: dict[str, object], distance: float, random: np.random.Generator) -> None:
    folder.mkdir(parents=True, exist_ok=True)
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
        lines.append(f"{step},{step / 20},{8 / step + random.random():.6g},0.001,{RATE},{eer}")
    (folder / "training.csv").write_text("\n".join(lines) + "\n")
    if loss["name"] == "softmax":
        return  # has no cosines
    rows = [",".join(["step", *map(str, range(100))])]
    for step in range(1, NUM_ROWS + 1):
        cosines = np.clip(random.normal(0.6 * step / NUM_ROWS, 0.15, size=64), -1, 1)
        counts = np.histogram(cosines, 100, (-1, 1))[0]
        rows.append(",".join(map(str, [step, *counts])))
    (folder / "cosines.csv").write_text("\n".join(rows) + "\n")
