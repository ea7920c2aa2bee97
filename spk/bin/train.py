"""Train an embedding network, or go on where a killed run stopped.

Usage: python3 -m spk.bin.train --config SYSTEM.yaml [--device auto|cpu|cuda] [--init-from EXP]
           [--accept-changes true|false] [--loss.margin 0.3 ...] DATA EXP
In several processes, under spk.bin.launch or torchrun, each embeds its share of every batch, with the same result.
DATA holds feats.scp, utt2num_frames and utt2spk, or for a system with features.online wav.scp, utt2dur and utt2spk;
EXP gets config.yaml, checkpoints/, training.csv and final.pt.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import logging
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from spk.bin.command import argument_parser, command
from spk.bin.overrides import split_overrides
from spk.config import SystemConfig, load_system, read_yaml
from spk.errors import InputError

if TYPE_CHECKING:  # --help needs no torch
    import torch

    from spk.collectives import Group
    from spk.data.online_augmentation import OnlineAugmentation
    from spk.losses.loss import Loss
    from spk.nets.embedder import Embedder
    from spk.train.training_data import Utterances

log = logging.getLogger(__name__)
STOPPED = 143  # 128 + SIGTERM: stopped from outside, can be started again


class Parts(NamedTuple):
    """What is trained, and on what."""

    embedder: Embedder
    loss: Loss
    training: Utterances
    validation: Utterances | None
    augmentation: OnlineAugmentation | None


@command
def main() -> None:
    parser = argument_parser("train", __doc__)
    parser.add_argument("--config", required=True)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument(
        "--accept-changes",
        choices=["true", "false"],
        default="false",
        help="go on in EXP though its config differs in rates, schedule, length, margins or batches",
    )
    parser.add_argument("data")
    parser.add_argument("exp")
    arguments, overrides = split_overrides(sys.argv[1:])
    options = parser.parse_args(arguments)

    from spk.train.parallel import joined

    with joined(lambda: pick_device(options.device)) as group, contextlib.ExitStack() as held:
        train(options, overrides, group, held)


def train(options: argparse.Namespace, overrides: list[str], group: Group, held: contextlib.ExitStack) -> None:
    """What all processes do. Only the first looks into the experiment directory, and holds it."""
    from spk.train.checkpoint import list_checkpoints
    from spk.train.experiment import open_experiment, read_config, record_changes
    from spk.train.lock import locked
    from spk.train.parallel import together
    from spk.train.settle import settle

    data_dir, exp_dir = Path(options.data), Path(options.exp)
    is_first = group.rank == 0

    def read() -> tuple[SystemConfig, dict[str, Any] | None]:
        config = load_system(options.config, overrides)
        if not config.online:
            check_features(config, data_dir)
        return config, read_config(exp_dir) if is_first else None

    config, begun = together(group, read)
    begun = group.broadcast_object(begun)
    device = together(group, lambda: pick_device(options.device))
    settle(config, begun, device)
    accept_changes = options.accept_changes == "true"
    source = {"overrides": overrides, "source": options.config}
    open_directory = functools.partial(
        open_experiment,
        exp_dir,
        config,
        data_dir,
        **source,
        accept_changes=accept_changes,
    )
    record = functools.partial(record_changes, exp_dir, config, **source)

    def begin() -> tuple[bool, bool]:
        """(the run is done already, it has no checkpoint yet)"""
        if not is_first:
            return False, False
        held.enter_context(locked(exp_dir))
        is_done = (exp_dir / "final.pt").exists() and begun is not None and not open_directory()
        if is_done:
            log.info("%s: already trained", exp_dir / "final.pt")
        return is_done, not list_checkpoints(exp_dir / "checkpoints")

    is_done, is_new = group.broadcast_object(together(group, begin))
    if not is_done:
        run(config, data_dir, exp_dir, device, open_directory, record, is_new, group)


def run(
    config: SystemConfig,
    data_dir: Path,
    exp_dir: Path,
    device: torch.device,
    open_directory: Callable[..., list[str]],
    record_changes: Callable[..., None],
    is_new: bool,
    group: Group,
) -> None:
    import torch

    from spk.train.batch_size import find_batch_size
    from spk.train.crop_supply import room_for_resident
    from spk.train.experiment import record_processes
    from spk.train.parallel import together
    from spk.train.settle import threads_here
    from spk.train.trainer import Terminated, Trainer

    torch.set_num_threads(threads_here(config))
    is_first = group.rank == 0
    parts = together(group, lambda: build(config, data_dir, device, is_new, group))
    found = {}
    if config.batch.size == "auto":

        def find() -> tuple[int, str] | None:
            """By the first process alone: a batch must not depend on how many there are."""
            training = parts.training
            arguments = (config, parts.embedder, parts.loss, training.labels, training.reader.dim, device)
            with room_for_resident(config, training, device):
                return find_batch_size(*arguments) if is_first else None

        config.batch.size, found["batch.size"] = group.broadcast_object(together(group, find))
    trainer = together(group, lambda: Trainer(config, exp_dir, *parts, device=device, group=group))
    changes = together(group, lambda: open_directory(found=found) if is_first else [])

    def when_resumed(step: int) -> None:
        record_processes(exp_dir, group.size, step)
        if changes:
            record_changes(changes, step)

    trainer.when_resumed = when_resumed
    try:
        trainer.fit()
    except Terminated as stopped:
        log.info("%s", stopped)
        sys.exit(STOPPED)


def build(config: SystemConfig, data_dir: Path, device: torch.device, is_new: bool, group: Group) -> Parts:
    """From the config and the data alone, the same on all processes, but for the part of a sharded classifier."""
    import torch

    from spk.losses import LOSSES
    from spk.losses.shard import Shard
    from spk.nets.embedder import build_embedder
    from spk.train.experiment import describe_initial
    from spk.train.initialization import initialize, read_initial
    from spk.train.seen_speakers import warn_of_seen
    from spk.train.training_data import read_training_data

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
        shard=Shard(len(training.speakers), group) if config.train.shard_classifier else None,
    )
    return Parts(embedder, loss, training, validation, augmentation)


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
        raise InputError("no CUDA device is available here; --ngpu 0 (--device cpu) is the CPU")
    # With its number: the allocator's settings take no device without one.
    return torch.device("cuda", torch.cuda.current_device()) if name == "cuda" else torch.device("cpu")


if __name__ == "__main__":
    main()
