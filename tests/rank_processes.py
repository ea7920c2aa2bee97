"""Work done by several processes that are ranks of one group, as training does it on the CPU."""

from __future__ import annotations

import functools
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from spk.collectives import Group

LIMIT = timedelta(seconds=60)
MOST = 3  # ranks of one group


@functools.cache
def processes() -> ProcessPoolExecutor:
    """Started once for all tests of a session: torch takes each of them seconds to import."""
    return ProcessPoolExecutor(MOST, mp_context=multiprocessing.get_context("spawn"))


def on_ranks(work: Callable[..., Any], size: int, folder: Path, *arguments: Any) -> list[Any]:
    """What `work(group, *arguments)` returns on each rank; it is found by its module and name."""
    assert size <= MOST  # all must run at once to meet
    rendezvous = folder / f"rendezvous_of_{size}_{work.__name__}"
    try:
        ranks = [processes().submit(one_rank, work, rank, size, rendezvous, arguments) for rank in range(size)]
        wait(ranks)
        return [rank.result() for rank in ranks]
    except BrokenProcessPool:
        processes.cache_clear()
        raise


def one_rank(work: Callable[..., Any], rank: int, size: int, rendezvous: Path, arguments: tuple) -> Any:
    torch.set_num_threads(1)
    torch.manual_seed(0)  # whatever the process did before
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=size, timeout=LIMIT)
    try:
        return work(Group(dist.group.WORLD), *arguments)
    finally:
        dist.destroy_process_group()  # a rank that failed must not let the others wait
