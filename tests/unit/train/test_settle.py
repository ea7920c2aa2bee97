"""Threads of processes that share a machine, and what goes with a batch size that was found."""

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


@pytest.mark.parametrize(
    "begun_with, size, expected", [(None, "auto", False), ("auto", "auto", "auto"), (None, 4, "auto")]
)
def test_with_a_batch_size_that_was_found_features_lie_where_they_lay_then(begun_with, size, expected, system_yaml):
    begun = load_system(str(system_yaml), []).as_dict()
    begun["train"].pop("resident")
    if begun_with is not None:
        begun["train"]["resident"] = begun_with
    config = load_system(str(system_yaml), ["--batch.size", str(size)])
    settle(config, begun, torch.device("cpu"))
    assert config.batch.size == begun["batch"]["size"]
    assert config.train.resident == expected
