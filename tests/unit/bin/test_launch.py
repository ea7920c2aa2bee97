"""Machines that wait for one another can be stopped, and say what they wait for."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import pytest
from unit.train.commands import ENVIRONMENT

from spk.bin.launch import reach, status_of
from spk.errors import InputError

IMPATIENT = """
import sys, spk.bin.launch as launch
launch.PATIENCE = 0.1
sys.argv = "launch --nproc 1 --nnodes 2 nothing".split()
launch.main()
"""


def launched(rank: str, host: str, port: int) -> subprocess.Popen[str]:
    where = {"SPK_NODE_RANK": rank, "SPK_MASTER": host, "SPK_MASTER_PORT": str(port)}
    return subprocess.Popen(
        [sys.executable, "-c", IMPATIENT], env={**ENVIRONMENT, **where}, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture
def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_a_machine_that_waits_for_others_says_so_and_ends_at_a_signal(free_port):
    waiting = {
        "nosuchhost.invalid": launched("1", "nosuchhost.invalid", free_port),
        "127.0.0.1": launched("0", "127.0.0.1", free_port),
    }
    for (host, process), number in zip(waiting.items(), (signal.SIGTERM, signal.SIGINT), strict=True):
        said = process.stderr.readline()
        assert said.startswith(f"launch: waiting for all 2 machines to meet at {host}:{free_port}")
        process.send_signal(number)
        assert process.wait(timeout=60) == 128 + number
        assert process.stderr.read() == ""


def test_a_port_that_is_taken_is_said_in_one_line():
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        process = launched("0", "127.0.0.1", port)
        said = process.communicate(timeout=30)[1].splitlines()
    assert process.returncode == 1
    assert said[-1].endswith(
        f"error: machine 0 cannot listen on port {port}: it is in use; choose another SPK_MASTER_PORT"
    )
    assert all(line.startswith("launch: waiting") for line in said[:-1])


def test_a_machine_that_is_not_there_is_named_when_the_time_is_up(free_port):
    with pytest.raises(
        InputError, match=rf"127.0.0.1:{free_port} within 0.1 seconds \(Connection refused\).*SPK_MASTER"
    ):
        reach("127.0.0.1", free_port, limit=0.1)


def test_a_machine_without_a_failed_process_of_its_own_has_failed_all_the_same():
    assert status_of({}) == 1
