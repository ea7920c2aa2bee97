"""Main memory as Linux tells it: what this process takes, and what it may still take. All in bytes."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterator
from pathlib import Path

from spk.control_groups import memory_groups
from spk.errors import InputError

ROOT = Path("/")
# Limit, use, and the line of memory.stat with the page cache that is given up first: of cgroup version 2, and 1.
CGROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def resident() -> int:
    """What this process holds now."""
    return read_kib(ROOT / "proc/self/status", "VmRSS")


def peak_resident() -> int:
    """The most that it held since `forget_peak`, or since it began where forgetting is not allowed."""
    return read_kib(ROOT / "proc/self/status", "VmHWM")


def give_back() -> None:
    """Return what was freed to the system; the C library keeps it otherwise, and the process seems to hold it."""
    gc.collect()
    with contextlib.suppress(AttributeError):  # only glibc has it, and needs it
        ctypes.CDLL(None).malloc_trim(0)


def forget_peak() -> None:
    with contextlib.suppress(OSError):
        (ROOT / "proc/self/clear_refs").write_text("5")  # proc(5): resets the peak to what is held now


def available() -> int:
    """What can be taken without swapping, and within the limits of this process's control groups."""
    return max(0, min([read_kib(ROOT / "proc/meminfo", "MemAvailable"), *cgroup_room()]))


def read_kib(path: Path, name: str) -> int:
    """The line 'name:  123 kB' of a file in /proc. InputError where there is none: not Linux."""
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    raise InputError(f"batch.size: auto needs {path}, which this system does not have; give a number")


def cgroup_room() -> Iterator[int]:
    """For each limit on the groups that hold this process: limit - use + page cache that is easily given up."""
    for folder in memory_groups(ROOT):
        for limit_name, use_name, cache_name in CGROUP_FILES:
            with contextlib.suppress(OSError, ValueError):  # no such file; "max": no limit
                limit = int((folder / limit_name).read_text())
                stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                yield limit - int((folder / use_name).read_text()) + int(stat.get(cache_name, 0))
