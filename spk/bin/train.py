"""Train an embedding network, or go on where a killed run stopped.

Usage: python3 -m spk.bin.train --config SYSTEM.yaml [--device auto|cpu|cuda] [--init-from EXP] [--loss.margin 0.3 ...]
           DATA EXP
DATA holds feats.scp, utt2num_frames and utt2spk, or for a system with features.online wav.scp, utt2dur and utt2spk;
EXP gets config.yaml, checkpoints/, training.csv and final.pt.
"""

from __future__ import annotations

import functools
import logging
import random
import sys
from pathlib import Path

from spk.bin.command import argument_parser, command
from spk.bin.overrides import split_overrides
from spk.config import SystemConfig, load_system, read_yaml
from spk.errors import InputError

log = logging.getLogger(__name__)
STOPPED = 143  # 128 + SIGTERM: stopped from outside, can be started again


@command
def main() -> None:
    parser = argument_parser("train", __doc__)
    parser.add_argument("--config", required=True)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("data")
    parser.add_argument("exp")
    arguments, overrides = split_overrides(sys.argv[1:])
    options = parser.parse_args(arguments)
    data_dir, exp_dir = Path(options.data), Path(options.exp)
    config = load_system(options.config, overrides)
    if not config.online:
        check_features(config, data_dir)

    from spk.train.experiment import locked, open_experiment, read_config
    from spk.train.settle import settle

    begun = read_config(exp_dir)
    device = pick_device(options.device)
    settle(config, begun, device)
    open_directory = functools.partial(open_experiment, exp_dir, config, data_dir, overrides, options.config)
    with locked(exp_dir):
        if (exp_dir / "final.pt").exists() and begun is not None:
            open_directory()
            log.info("%s: already trained", exp_dir / "final.pt")
            return
        run(config, data_dir, exp_dir, device, open_directory)


def run(config: SystemConfig, data_dir: Path, exp_dir: Path, device, open_directory) -> None:
    import torch

    from spk.losses import LOSSES
    from spk.nets.embedder import build_embedder
    from spk.train.batch_size import find_batch_size
    from spk.train.checkpoint import list_checkpoints
    from spk.train.experiment import describe_initial
    from spk.train.initialization import initialize, read_initial
    from spk.train.seen_speakers import warn_of_seen
    from spk.train.trainer import Terminated, Trainer
    from spk.train.training_data import read_training_data

    torch.set_num_threads(config.train.threads)
    is_new = not list_checkpoints(exp_dir / "checkpoints")
    initial = read_initial(config) if config.init_from and is_new else None
    online, augmentation = None, None
    if config.online:
        from spk.data.online_augmentation import open_augmentation

        online, augmentation = open_online(config, device), open_augmentation(config.augmentation)
    training, validation = read_training_data(data_dir, config.validation, config.seed, online)
    torch.manual_seed(config.seed)
    random.seed(config.seed)  # is in the checkpoints beside torch's
    embedder = build_embedder(config.normalization, config.network, num_bins=training.reader.dim)
    if initial is not None:
        initialize(embedder, initial, training.reader.dim, config.init_from)
        if validation is not None:
            warn_of_seen(describe_initial(config), data_dir, validation.speakers)
    loss = LOSSES.build(
        "loss",
        config.loss,
        embedding_dim=config.network["embedding_dim"],
        num_speakers=len(training.speakers),
        utterances_per_speaker=config.batch.utterances_per_speaker,
    )
    found = {}
    if config.batch.size == "auto":
        config.batch.size, found["batch.size"] = find_batch_size(
            config, embedder, loss, training.labels, training.reader.dim, device
        )
    trainer = Trainer(config, exp_dir, embedder, loss, training, validation, device, augmentation)
    open_directory(found=found)
    try:
        trainer.fit()
    except Terminated as stopped:
        log.info("%s", stopped)
        sys.exit(STOPPED)


def open_online(config: SystemConfig, device):
    """How features are made of waveforms."""
    from spk.feats import FRONT_ENDS
    from spk.train.training_data import Online

    front_end = FRONT_ENDS.build("features", config.features)
    return Online(front_end, device, (1.0, *config.augmentation.speeds))


def check_features(config: SystemConfig, data_dir: Path) -> None:
    """The arks must hold what the system expects."""
    path = data_dir / "feats.yaml"
    if not path.exists():
        raise InputError(f"{path}: no such file; run steps/make_feats {data_dir} first")
    there = read_yaml(path)
    if different := [
        name for name in config.features if config.features[name] != there.get(name, config.features[name])
    ]:
        pairs = ", ".join(f"{name} {there.get(name)!r}, wanted {config.features[name]!r}" for name in different)
        raise InputError(
            f"{path}: the features there are others than the system's: {pairs}; run steps/make_feats again"
        )


def pick_device(name: str):
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: no CUDA device is available here")
    # With its number: the allocator's settings take no device without one.
    return torch.device("cuda", torch.cuda.current_device()) if name == "cuda" else torch.device("cpu")


if __name__ == "__main__":
    main()
