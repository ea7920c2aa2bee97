"""Main memory, as read from a made-up /proc and /sys, and of this process."""

from __future__ import annotations

import numpy as np
import pytest

from spk.errors import InputError
from spk.train import memory

MIB = 2**20


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """`machine(path, text)` writes a file of a machine with 1000 MiB available."""

    def write(path, text):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    write("proc/meminfo", f"MemTotal: 9999999 kB\nMemFree: 10 kB\nMemAvailable: {1000 * 1024} kB\n")
    monkeypatch.setattr(memory, "ROOT", tmp_path)
    return write


def test_without_control_groups_what_the_kernel_calls_available(machine):
    assert memory.available() == 1000 * MIB


def test_the_tightest_of_the_groups_around_the_process_counts_less_the_cache_that_can_go(machine):
    machine("proc/self/cgroup", "0::/user/job\n")
    machine("sys/fs/cgroup/user/job/memory.max", "max\n")
    for folder, limit, used, cache in [("user", 500, 300, 50), ("", 2000, 100, 0)]:
        machine(f"sys/fs/cgroup/{folder}/memory.max", f"{limit * MIB}\n")
        machine(f"sys/fs/cgroup/{folder}/memory.current", f"{used * MIB}\n")
        machine(f"sys/fs/cgroup/{folder}/memory.stat", f"anon 5\ninactive_file {cache * MIB}\nactive_file 7\n")
    assert memory.available() == 250 * MIB


def test_a_container_of_control_groups_version_1_sees_its_own_as_the_root(machine):
    machine("proc/self/cgroup", "9:name=systemd:/\n4:memory:/docker/0f1e\n3:cpu:/\n0::/\n")
    machine("sys/fs/cgroup/memory/memory.limit_in_bytes", f"{800 * MIB}\n")
    machine("sys/fs/cgroup/memory/memory.usage_in_bytes", f"{700 * MIB}\n")
    machine("sys/fs/cgroup/memory/memory.stat", f"inactive_file 1\ntotal_inactive_file {20 * MIB}\n")
    assert memory.available() == 120 * MIB


def test_a_limit_that_is_overrun_leaves_nothing(machine):
    machine("proc/self/cgroup", "0::/\n")
    machine("sys/fs/cgroup/memory.max", "1000\n")
    machine("sys/fs/cgroup/memory.current", "3000\n")
    machine("sys/fs/cgroup/memory.stat", "inactive_file 0\n")
    assert memory.available() == 0


def test_a_system_without_proc_is_told_to_give_a_number(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "ROOT", tmp_path)
    with pytest.raises(InputError, match=r"batch\.size: auto needs .*meminfo.*give a number"):
        memory.available()


def test_what_this_process_takes_is_seen_at_its_peak_and_after():
    memory.forget_peak()
    before = memory.resident()
    block = np.ones(64 * MIB, dtype=np.uint8)
    assert memory.resident() - before == pytest.approx(64 * MIB, rel=0.1)
    del block
    assert memory.resident() - before < 16 * MIB
    assert memory.peak_resident() - before == pytest.approx(64 * MIB, rel=0.1)
