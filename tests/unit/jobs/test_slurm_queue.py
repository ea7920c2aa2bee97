"""What is pure of the Slurm engine: how Slurm's answers are read, and what is asked of it."""

from __future__ import annotations

import pytest

from spk.jobs.cluster import State
from spk.jobs.job import Job
from spk.jobs.site_config import parse_site_config
from spk.jobs.slurm import BUILT_IN, Slurm, in_whole_units, parse_indices, state_of, warning_seconds


@pytest.mark.parametrize(
    "text, indices",
    [
        ("7", [7]),
        ("2-4", [2, 3, 4]),
        ("1,3-4,8-12:2%4", [1, 3, 4, 8, 10, 12]),
        ("5-7%2", [5, 6, 7]),
        ("N/A", []),
        ("4294967294", []),
        ("", []),
    ],
)
def test_the_indices_of_waiting_tasks_are_read(text, indices):
    assert list(parse_indices(text)) == indices


@pytest.mark.parametrize(
    "status, reason, state",
    [
        ("RUNNING", "None", State("running")),
        ("COMPLETING", "None", State("running")),
        ("PENDING", "Resources", State("waiting")),
        ("PENDING", "Priority", State("waiting")),
        ("PENDING", "JobArrayTaskLimit", State("waiting")),
        ("PENDING", "BadConstraints", State("never", "BadConstraints")),
        ("PENDING", "QOSMaxMemoryPerJob", State("never", "QOSMaxMemoryPerJob")),
        ("PENDING", "PartitionTimeLimit", State("never", "PartitionTimeLimit")),
        ("PENDING", "ReqNodeNotAvail, UnavailableNodes:n1", State("blocked", "ReqNodeNotAvail, UnavailableNodes:n1")),
        ("PENDING", "JobHeldUser", State("blocked", "JobHeldUser")),
        ("PENDING", "JobHeldAdmin", State("blocked", "JobHeldAdmin")),
        ("REQUEUE_HOLD", "launch failed requeued held", State("blocked", "launch failed requeued held")),
    ],
)
def test_a_reason_to_wait_is_harmless_for_somebody_to_mend_or_for_ever(status, reason, state):
    assert state_of(status, reason) == state


@pytest.mark.parametrize(
    "given, whole", [("4G", "4G"), ("1.5G", "1536M"), ("0.5M", "512K"), ("1.25T", "1280G"), ("2", "2"), ("1.5", "1.5")]
)
def test_memory_is_asked_for_in_whole_numbers(given, whole):
    assert in_whole_units(given) == whole


@pytest.mark.parametrize(
    "time, seconds",
    [(None, 60), ("12:00:00", 60), ("2-00:00:00", 60), ("0:01:00", 15), ("0:02:00", 30), ("0:00:01", 1)],
)
def test_a_task_is_warned_a_minute_or_a_quarter_before_its_limit(time, seconds):
    assert warning_seconds(time) == seconds


def test_several_nodes_are_asked_for_and_the_command_started_on_each():
    slurm = Slurm(parse_site_config(BUILT_IN, "built in"))
    assert slurm.config.submit_command({"nodes": "4"}) == ["sbatch", "--nodes", "4", "--ntasks-per-node", "1"]
    assert slurm.launcher(Job("x", ["true"], resources={"nodes": "4"}))[:3] == [
        "srun",
        "--nodes=4",
        "--ntasks-per-node=1",
    ]
    assert slurm.launcher(Job("x", ["true"], resources={"nodes": "1"})) == []
    assert slurm.launcher(Job("x", ["true"])) == []
