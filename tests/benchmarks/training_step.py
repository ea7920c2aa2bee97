"""The training step: ours against the same network in plain PyTorch code, its bound, and its memory.

Usage: python3 tests/benchmarks/training_step.py [--rounds N] [--json FILE] [--networks fast_resnet34,vgg_m_40,rescnn]
           [--batch 16] [--channels 1] [--rescnn-channels 0.25] [--threads 1] [--memory-batch 80]
Ours is the Trainer's own step, fed by its own reader from an ark of 8 bits (mask of the curriculum, norm of the
gradient, update, log of the loss), with DAM-softmax and with the angular prototypical loss. The ordinary way is the
same network (as many parameters, layer by layer) as its users write it, with cross-entropy and Adam, fed by tensors in
memory. "speed" is seconds of the ordinary way / seconds of ours.
The second table: operations and bytes of our step (roofline.py) against this machine's rates in the same run.
The third: the largest resident memory of a process that makes one step, beyond what it had before it.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from measure import Table, begin_peak, by_turns, median_ratio, memory_mb, parser, report
from plain_networks import PLAIN
from roofline import bandwidth, matmul_rate, work_of
from training_systems import OurSteps, PlainSteps, bins_of, system, write_training_dir

from spk.config import SystemConfig
from spk.losses import LOSSES
from spk.nets.embedder import build_embedder
from spk.train.step import TrainingStep

SPEAKERS, UTTERANCES, FRAMES = 120, 480, 500
LOSS_OPTIONS = {
    "dam_softmax": [],
    "angular_prototypical": [
        *("--loss.name", "angular_prototypical", "--batch.utterances_per_speaker", "2"),
        *("--curriculum.margin", "null"),
    ],
}


def config_of(network: str, loss: str, options: argparse.Namespace) -> SystemConfig:
    channels = options.rescnn_channels if network == "rescnn" else options.channels
    own = LOSS_OPTIONS[loss] or ["--loss.name", loss]
    overrides = ["--network.channels", str(channels), "--batch.size", str(options.batch), *own]
    return system(network, *overrides, "--train.threads", str(options.threads))


def plain_of(config: SystemConfig) -> torch.nn.Module:
    """The same network in plain code: as many parameters as ours has."""
    section = config.network
    plain = PLAIN[section["name"]](bins_of(config), section["channels"], section["embedding_dim"])
    ours = build_embedder(config.normalization, section, bins_of(config))
    sizes = [sum(one.numel() for one in network.parameters()) for network in (plain, ours)]
    assert sizes[0] == sizes[1], f"{section['name']}: {sizes[0]} parameters in plain code, {sizes[1]} in ours"
    return plain


def compare(network: str, options: argparse.Namespace, folder: Path, clock, steps: Table, bounds: Table, rates) -> None:
    config = config_of(network, "dam_softmax", options)
    data_dir = write_training_dir(folder / network, config, UTTERANCES, SPEAKERS, FRAMES)
    ours = {
        loss: OurSteps(config_of(network, loss, options), data_dir, torch.device("cpu"), clock) for loss in LOSS_OPTIONS
    }
    held = [
        (
            torch.randn(options.batch, config.batch.crop_frames, bins_of(config)),
            torch.randint(SPEAKERS, (options.batch,)),
        )
        for _ in range(4)
    ]
    plain = PlainSteps(plain_of(config), config.network["embedding_dim"], SPEAKERS, itertools.cycle(held))
    taken = by_turns({"plain": plain, **ours}, options.rounds, clock)
    for loss, run in ours.items():
        of_ours, of_plain = (sorted(taken[way])[options.rounds // 2] for way in (loss, "plain"))
        speed = median_ratio(taken["plain"], taken[loss])
        steps.add(network, loss, options.batch, of_ours, of_plain, speed, 100 * run.share_of_reading)
    add_bound(bounds, config, sorted(taken["dam_softmax"])[options.rounds // 2], rates, number_bytes=4)


def add_bound(
    table: Table, config: SystemConfig, seconds: float, rates: tuple[float, float], number_bytes: int
) -> None:
    """A row: operations, bytes, the bound by each, the larger of them, what was reached, and its share."""
    work = work_of(step_of(config), config.batch.size)
    by_operations, by_bytes = work.operations / rates[0], number_bytes * work.numbers / rates[1]
    table.add(
        *(config.network["name"], config.batch.size, work.operations / 1e9, number_bytes * work.numbers / 1e9),
        *(by_operations, by_bytes, "operations" if by_operations > by_bytes else "bytes"),
        *(seconds, 100 * max(by_operations, by_bytes) / seconds),
    )


def step_of(config: SystemConfig) -> Callable[[int], None]:
    """`step(crops)` takes so many crops of noise through the network and back, with a softmax over few speakers."""
    embedder = build_embedder(config.normalization, config.network, bins_of(config)).train()
    given = {"embedding_dim": config.network["embedding_dim"], "num_speakers": 8, "utterances_per_speaker": 1}
    loss = LOSSES.build("loss", "softmax", **given)

    def step(crops: int) -> None:
        features = torch.randn(crops, config.batch.crop_frames, bins_of(config))
        embedder.zero_grad()
        TrainingStep(embedder, loss, "float32").forward_backward(features, torch.arange(crops))

    return step


BOUND_COLUMNS = [
    *("network", "batch", "G operations", "GB", "bound by operations, s", "bound by bytes, s", "what limits"),
    *("reached, s", "share of the bound, %"),
]


def memory(options: argparse.Namespace) -> Table:
    """Each way in a process of its own, on all cores."""
    crops = options.memory_batch
    table = Table(
        f"Memory of a step: fast_resnet34, {crops} crops of 200 frames", ["way", "MiB", "of all kept", "seconds"]
    )
    first = 0.0
    for name, recomputes, parts in [
        ("all activations kept", "false", 1),
        ("train.checkpoint_activations", "true", 1),
        ("train.accumulate 8", "false", 8),
        ("both", "true", 8),
    ]:
        command = [sys.executable, __file__, "--one-step", f"{recomputes},{parts},{crops}"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        mib, seconds = map(float, done.stdout.split())
        first = first or mib
        table.add(name, mib, mib / first, seconds)
    return table


def one_step(recomputes: str, parts: str, crops: str) -> None:
    """Print what a step took: MiB beyond a step of a small batch, and seconds."""
    embedder = build_embedder("instance", {"name": "fast_resnet34", "embedding_dim": 512}, 40).train()
    embedder.network.recomputes = recomputes == "true"
    loss = LOSSES.build("loss", "angular_prototypical", embedding_dim=512, num_speakers=800, utterances_per_speaker=1)

    def step(size: int) -> float:
        begin = time.perf_counter()
        of_parts = TrainingStep(embedder, loss, "float32", min(int(parts), size))
        of_parts.forward_backward(torch.randn(size, 200, 40), torch.arange(size // 2).repeat_interleave(2))
        return time.perf_counter() - begin

    step(8)
    begin_peak()
    before, seconds = memory_mb("VmRSS"), step(int(crops))
    print(memory_mb("VmHWM") - before, seconds)


def main() -> None:
    defaults = {"networks": "fast_resnet34,vgg_m_40,rescnn", "batch": 16, "channels": 1.0, "rescnn_channels": 0.25}
    arguments = parser(__doc__, 5, **defaults, threads=1, memory_batch=80, one_step="")
    options = arguments.parse_args()
    if options.one_step:
        one_step(*options.one_step.split(","))
        return
    networks = options.networks.split(",")
    if unknown := sorted(set(networks) - PLAIN.keys()):
        arguments.error(f"--networks: {', '.join(unknown)} is not known; known: {', '.join(PLAIN)}")
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.threads == 1 else time.perf_counter
    rates = matmul_rate(torch.device("cpu"), torch.float32, clock), bandwidth(torch.device("cpu"), clock)
    columns = ["network", "our loss", "batch", "ours, s", "plain PyTorch, s", "speed", "our reader's share, %"]
    steps = Table(f"Training steps on the CPU, {options.threads} thread(s), float32", columns)
    bounds = Table(
        f"What limits: {rates[0] / 1e9:.3g} G operations/s of a matrix product, {rates[1] / 1e9:.3g} GB/s of a copy",
        BOUND_COLUMNS,
    )
    with tempfile.TemporaryDirectory() as folder:
        for network in networks:
            compare(network, options, Path(folder), clock, steps, bounds, rates)
    tables = [steps, bounds]
    if options.memory_batch:
        tables.append(memory(options))
    report(options, *tables)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", str(len(os.sched_getaffinity(0))))
    main()
