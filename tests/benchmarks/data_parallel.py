"""Training steps of 1 and 2 processes on the CPU, one thread each, and what batch norm over processes costs.

Usage: python3 tests/benchmarks/data_parallel.py [--network fast_resnet34] [--speakers 16] [--steps 5]
Prints seconds a step, medians after one to warm up, and their ratios: of the same batch in one process, and shared out
to two, with batch statistics of the whole batch (ours) and with each process's own (torch's batch norm). To be run on
a machine with two cores that do nothing else.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from measure import Table, report

sys.path.insert(0, os.fspath(Path(__file__).resolve().parents[1]))

from rank_processes import on_ranks

from spk.collectives import ALONE, Group
from spk.data.share import Share
from spk.losses import LOSSES
from spk.nets.embedder import build_embedder
from spk.nets.sync_batch_norm import synchronize_batch_norms
from spk.train.parallel import add_up_gradients
from spk.train.step import TrainingStep

UTTERANCES = 2


def seconds_a_step(group: Group, options: argparse.Namespace, sync: bool) -> float:
    torch.manual_seed(1)
    embedder = build_embedder("instance", {"name": options.network, "embedding_dim": 128}, num_bins=40)
    if sync:
        synchronize_batch_norms(embedder, group)
    given = {"embedding_dim": 128, "num_speakers": 1000, "utterances_per_speaker": UTTERANCES}
    loss = LOSSES.build("loss", "angular_prototypical", **given)
    labels = torch.arange(options.speakers).repeat_interleave(UTTERANCES)
    share = Share(group.rank, group.size, UTTERANCES)
    features = torch.randn(len(labels), 200, 40)[share.rows(len(labels))]
    step, seconds = TrainingStep(embedder, loss, "float32", group=group, share=share), []
    for _ in range(options.steps + 1):
        begin = time.perf_counter()
        embedder.zero_grad()
        loss.zero_grad()
        step.forward_backward(features, labels)
        add_up_gradients(group, embedder.parameters(), loss.parameters())
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds[1:]))


def of_two(group: Group, options: argparse.Namespace) -> tuple[float, float]:
    return seconds_a_step(group, options, sync=True), seconds_a_step(group, options, sync=False)


def of_one(group: Group, options: argparse.Namespace) -> float:
    return seconds_a_step(ALONE, options, sync=False)


def main() -> None:
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--network", default="fast_resnet34")
    result.add_argument("--speakers", type=int, default=16, help="of a batch, 2 crops of 2 s each")
    result.add_argument("--steps", type=int, default=5)
    result.add_argument("--json", default="", help="write the table there, too")
    options = result.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (one,) = on_ranks(of_one, 1, Path(folder), options)
        (synchronized, plain), _ = on_ranks(of_two, 2, Path(folder), options)
    table = Table(
        f"Training steps of processes: {options.network}, {options.speakers} x {UTTERANCES} crops, a thread each",
        ["way", "seconds a step", "speed over one process", "over statistics of their own"],
    )
    table.add("one process", one, None, None)
    table.add("two processes, statistics of the batch", synchronized, one / synchronized, plain / synchronized)
    table.add("two processes, statistics of their own", plain, one / plain, None)
    report(options, table)


if __name__ == "__main__":
    main()
