"""Threads of processes that share a machine."""

from __future__ import annotations

import os

import pytest
import torch
import yaml

from spk.config import load_system
from spk.train.settle import settle, threads_here


@pytest.mark.parametrize("begun_by, goes_on_by, expected", [(2, 1, 8), (1, 2, 4), (2, 2, 4), (1, 1, 8), (1, 16, 1)])
def test_a_run_takes_the_cores_of_its_machine_by_whatever_number_of_processes_it_was_begun(
    begun_by, goes_on_by, expected, system_yaml, monkeypatch
):
    content = yaml.safe_load(system_yaml.read_text())
    content["train"].pop("threads", None)
    system_yaml.write_text(yaml.safe_dump(content))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    device, begun = torch.device("cpu"), None
    for processes in (begun_by, goes_on_by):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        config = load_system(str(system_yaml), [])
        settle(config, begun, device)
        begun = config.as_dict()
    assert threads_here(config) == expected
