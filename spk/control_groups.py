"""The control groups of this process, in which Linux keeps the limits that a container or a queue has set."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


def memory_groups(root: Path) -> Iterator[Path]:
    """The groups of this process and those around them. In a container the innermost may be seen as the root."""
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers == "" or "memory" in controllers.split(","):
                top = root / "sys/fs/cgroup" / ("memory" if controllers else "")
                here = top / group.lstrip("/")
                yield from (folder for folder in (here, *here.parents) if folder.is_relative_to(top))


def memory_limits(root: Path) -> Iterator[int]:
    """The limits of these groups, in bytes; of cgroup version 2, and 1."""
    for folder in memory_groups(root):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with contextlib.suppress(OSError, ValueError):  # no such file; "max": no limit
                yield int((folder / name).read_text())
