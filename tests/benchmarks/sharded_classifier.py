"""One step of a loss with very many speakers: whole, shared out to two processes, with drawn speakers, and both.

Usage: python3 tests/benchmarks/sharded_classifier.py [--speakers C] [--dim D] [--batch B] [--loss NAME] [--share S]
           [--optimizer sgd|adam] [--steps N] [--ways WAY,...] [--plan]
Drawn embeddings, no network: loss, gradients, clipping and update. Each way runs in processes of its own, of one thread
each; of N steps behind a first one the least time counts, by the clock and by the process's CPU. (On a machine with
other work the latter says more, though not how long processes wait for one another.) Memory is what a process, the one
that took most, held at its peak above what it held before the loss was built; docs/large_scale.md says how it is
reckoned, and --plan prints its table instead.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from measure import Table, report

from spk.collectives import ALONE, Group
from spk.data.sampler import Batch
from spk.losses import LOSSES
from spk.losses.shard import Shard
from spk.train import memory
from spk.train.clipping import clip_gradients
from spk.train.optimizers import OPTIMIZERS
from spk.train.partial_softmax import draw_speakers, optimizer_step

GIB = 2**30
KEPT = {"sgd": 1, "adam": 2}  # momentum; averages of the gradient and its square
WAYS = {  # processes, sharded, drawn
    "whole": (1, False, False),
    "sharded": (2, True, False),
    "drawn": (1, False, True),
    "sharded and drawn": (2, True, True),
}


def one_rank(options: argparse.Namespace, way: str, rank: int, rendezvous: Path) -> tuple[float, float, int, float]:
    """(least seconds of a step, least seconds of the CPU, bytes at the peak, the last value)"""
    size, is_sharded, is_drawn = WAYS[way]
    torch.set_num_threads(1)
    group = ALONE
    if size > 1:
        dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=size)
        group = Group(dist.group.WORLD)
    share = options.share if is_drawn else None
    trained(options, 2 * size, Shard(2 * size, group) if is_sharded else None, share)  # load what all ways need
    memory.give_back()
    memory.forget_peak()
    before = memory.resident()
    shard = Shard(options.speakers, group) if is_sharded else None
    seconds, cpu_seconds, value = trained(options, options.speakers, shard, share)
    peak = memory.peak_resident() - before
    group.any_rank(False)
    if size > 1:
        dist.destroy_process_group()
    return seconds, cpu_seconds, peak, value


def trained(
    options: argparse.Namespace, num_speakers: int, shard: Shard | None, share: float | None
) -> tuple[float, float, float]:
    """(least seconds of a step but the first, of the CPU, the last value)"""
    torch.manual_seed(1)
    given = {"embedding_dim": options.dim, "num_speakers": num_speakers, "utterances_per_speaker": 1}
    loss = LOSSES.build("loss", options.loss, shard=shard, **given)
    optimizer = OPTIMIZERS.build("optimizer", options.optimizer, parameters=loss.parameters())
    least = least_of_cpu = np.inf
    for step in range(options.steps + 1):
        random = torch.Generator().manual_seed(step)
        labels = torch.randint(num_speakers, (options.batch,), generator=random)
        embeddings = torch.randn(options.batch, options.dim, generator=random).requires_grad_()
        if shard is not None:
            shard.group.any_rank(False)  # begin together
        begin, cpu_begin = time.perf_counter(), time.process_time()
        optimizer.zero_grad(set_to_none=True)
        if share is not None:
            draw_speakers(loss, Batch(np.arange(options.batch), 1, 0, step), share)
        computed = loss(embeddings, labels)
        computed.backward()
        clip_gradients(loss.parameters(), loss, 10.0)
        optimizer_step(optimizer, loss)
        value = computed.item()
        del computed
        if step:
            least = min(least, time.perf_counter() - begin)
            least_of_cpu = min(least_of_cpu, time.process_time() - cpu_begin)
    return least, least_of_cpu, value


def reckoned(rows: float, dim: int, batch: int, kept: int, share: float | None) -> float:
    """Bytes that `rows` speakers take, as docs/large_scale.md has it; the optimiser keeps `kept` values for each."""
    in_use = rows if share is None else min(rows, share * rows + batch)
    copied = 0 if share is None else (1 + kept) * in_use * dim
    return 4 * ((1 + kept) * rows * dim + copied + 4 * in_use * dim + 4 * batch * in_use)


def print_plan(options: argparse.Namespace) -> None:
    """The table of docs/large_scale.md: GiB on each of so many GPUs."""
    kept = KEPT[options.optimizer]
    gpus = (1, 2, 4, 8, 16, 32, 64)
    print(f"| speakers | a batch meets | {' | '.join(map(str, gpus))} |\n|{'---|' * (2 + len(gpus))}")
    for speakers in (1_000_000, 10_000_000):
        for share, what in ((None, "all"), (options.share, f"its own and {options.share:g} of the others")):
            values = [reckoned(speakers / size, options.dim, options.batch, kept, share) / GIB for size in gpus]
            print(f"| {speakers // 1_000_000} M | {what} | {' | '.join(f'{value:.3g}' for value in values)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("speakers", 1_000_000), ("dim", 192), ("batch", 64), ("steps", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--loss", default="am_softmax")
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--optimizer", choices=list(KEPT), default="sgd")
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("--json", default="", help="write the table there, too")
    options = parser.parse_args()
    if options.plan:
        print_plan(options)
        return
    table = Table(
        f"A step of {options.loss} over {options.speakers:,} speakers: {options.dim} dimensions, "
        f"batch {options.batch}, {options.optimizer}, share drawn {options.share:g}",
        ["way", "processes", "seconds", "CPU seconds", "peak GiB a process", "reckoned GiB", "loss",
         "speed over the first way"],
    )  # fmt: skip
    first: float | None = None
    for way in options.ways.split(","):
        size = WAYS[way][0]
        with tempfile.TemporaryDirectory() as folder:
            rendezvous = Path(folder) / "rendezvous"
            with ProcessPoolExecutor(size, mp_context=multiprocessing.get_context("spawn")) as pool:
                ranks = [pool.submit(one_rank, options, way, rank, rendezvous) for rank in range(size)]
                seconds, cpu_seconds, peaks, values = zip(*(rank.result() for rank in ranks), strict=True)
        share = options.share if WAYS[way][2] else None
        expected = reckoned(options.speakers / size, options.dim, options.batch, KEPT[options.optimizer], share)
        ratio = None if first is None else first / max(seconds)
        first = first or max(seconds)
        peak, reckoned_gib = max(peaks) / GIB, expected / GIB
        table.add(way, size, max(seconds), max(cpu_seconds), peak, reckoned_gib, values[0], ratio)
    report(options, table)


if __name__ == "__main__":
    main()
