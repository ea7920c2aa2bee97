"""What all tests share: where the repository and the corpora are, and when a test may be skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
# A test may skip for these alone when SPK_NO_SKIPS=1 (as in CI): nobody can install a GPU or speech that is not there.
NO_CUDA = "no CUDA device"
NO_CORPORA = "no corpora of real speech: SPK_CORPORA names no folder"


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder with an4, librispeech-mini and speechocean762 in VoxCeleb's layout; skips without it."""
    beside = REPOSITORY.parent / "shared" / "corpora"
    folder = Path(os.environ.get("SPK_CORPORA") or beside)
    if not folder.is_dir():
        pytest.skip(NO_CORPORA)
    return folder


@pytest.fixture(scope="session")
def cuda():
    """The CUDA device; skips where there is none."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip(NO_CUDA)
    return torch.device("cuda")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """With SPK_NO_SKIPS=1 a skip fails, unless what it misses cannot be had on the machine."""
    report = yield
    if report.skipped and os.environ.get("SPK_NO_SKIPS") == "1" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if NO_CUDA not in reason and NO_CORPORA not in reason:
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid}: skipped, which SPK_NO_SKIPS=1 forbids: {reason}"
    return report
