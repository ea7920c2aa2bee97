"""What is taken for out of memory, and what only sounds like it."""

from __future__ import annotations

import errno

import numpy as np
import pytest
import torch
import torch.distributed as dist

from spk.bin.command import say_fault
from spk.out_of_memory import is_out_of_memory, is_out_of_threads


@pytest.mark.parametrize("allocate", [lambda: np.empty(2**50), lambda: torch.empty(2**50), lambda: bytearray(2**50)])
def test_an_allocation_beyond_all_bounds_is_out_of_memory(allocate):
    with pytest.raises((MemoryError, RuntimeError)) as raised:
        allocate()
    assert is_out_of_memory(raised.value)
    assert not is_out_of_threads(raised.value)
    assert say_fault(raised.value).startswith("out of memory (")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("can't start new thread"),
        RuntimeError("Resource temporarily unavailable"),  # of std::thread
        BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),  # of fork
    ],
)
def test_a_limit_of_threads_and_processes_is_named_as_such(error):
    assert not is_out_of_memory(error)
    assert "ulimit -u" in say_fault(error)


@pytest.mark.parametrize("kind", [dist.DistNetworkError, RuntimeError])
def test_a_connection_that_is_lost_is_neither(kind):
    error = kind("[gloo/transport/tcp/pair.cc:534] Read error: Resource temporarily unavailable")
    assert not is_out_of_memory(error) and not is_out_of_threads(error)
