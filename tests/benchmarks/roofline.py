"""What a training step cannot be faster than: its operations at the machine's rate, its bytes at its bandwidth.

Williams, Waterman and Patterson, Roofline, CACM 2009. Operations are two for each multiply-add of the forward and the
backward pass. Bytes are what every operation of PyTorch by itself reads and writes: each is taken to find its inputs in
memory and to leave its output there, as on a GPU without fusion; caches and fusion (torch.compile) can go below it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


class Work(NamedTuple):
    """Of a step: floating-point operations, and numbers that operations read and wrote."""

    operations: float
    numbers: float


class Traffic(TorchDispatchMode):
    """Counts elements of tensors that operations read and write; views read nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function, types, arguments=(), named=None) -> Any:
        result = function(*arguments, **(named or {}))
        made = [one for one in tree_leaves(result) if isinstance(one, Tensor)]
        if not function.is_view and function not in FREE:
            used = [one for one in tree_leaves((arguments, named)) if isinstance(one, Tensor)]
            self.numbers += sum(storage_elements(one) for one in (*used, *made))
        return result


FREE = {torch.ops.aten.detach.default, torch.ops.aten.empty_like.default, torch.ops.aten._unsafe_view.default}


def storage_elements(x: Tensor) -> int:
    """Elements in memory: what is expanded is read once."""
    return min(x.numel(), x.untyped_storage().nbytes() // x.element_size()) if x.is_floating_point() else 0


def work_of(step: Callable[[int], None], batch: int, small: tuple[int, int] = (4, 6)) -> Work:
    """Of step(batch), from step(n) of two small n: all of it grows in a straight line. `step` returns when done."""
    measured = []
    for size in small:
        with FlopCounterMode(display=False) as operations, Traffic() as traffic:
            step(size)
        measured.append((operations.get_total_flops(), traffic.numbers))
    slopes = [(more - less) / (small[1] - small[0]) for less, more in zip(*measured, strict=True)]
    return Work(*(less + slope * (batch - small[0]) for less, slope in zip(measured[0], slopes, strict=True)))


def matmul_rate(
    device: torch.device, dtype: torch.dtype, clock: Callable[[], float] = time.perf_counter, size: int = 0
) -> float:
    """Floating-point operations a second of a product of large square matrices, the best of five."""
    size = size or (8192 if device.type == "cuda" else 2048)
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / seconds(lambda: a @ b, device, clock)


def bandwidth(device: torch.device, clock: Callable[[], float] = time.perf_counter, num_bytes: int = 0) -> float:
    """Bytes a second, read and written, of a copy of what no cache holds, the best of five."""
    num_bytes = num_bytes or (2**32 if device.type == "cuda" else 2**28)
    source = torch.ones(num_bytes // 4, device=device)
    target = torch.empty_like(source)
    return 2 * num_bytes / seconds(lambda: target.copy_(source), device, clock)


def seconds(work: Callable[[], object], device: torch.device, clock: Callable[[], float]) -> float:
    taken = []
    for _ in range(6):
        synchronize(device)
        begin = clock()
        work()
        synchronize(device)
        taken.append(clock() - begin)
    return min(taken[1:])


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
