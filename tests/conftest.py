"""What all tests share: where the repository and the real corpora are, and a shell in which path.sh is sourced."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell starts what runs in its background with SIGINT ignored, which programs that tests interrupt would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
ROOT = Path(__file__).resolve().parent.parent
# A loaded machine must not fail a test for being slow.
hypothesis.settings.register_profile("spk", deadline=None)
hypothesis.settings.load_profile("spk")

Shell = Callable[..., subprocess.CompletedProcess]


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of real corpora, one subfolder each; the test is skipped where there is none."""
    given = os.environ.get("SPK_CORPORA")
    folder = Path(given) if given else ROOT.parent / "shared" / "corpora"
    if not folder.is_dir():
        pytest.skip(f"no corpora at {folder}: set SPK_CORPORA to a folder that holds them")
    return folder


@pytest.fixture
def disk_of(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """`disk_of("512k")` is an empty file system of that size; the test is skipped where none can be mounted."""
    mounted: list[Path] = []

    def mount(size: str) -> Path:
        folder = tmp_path / "disk"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, text=True
        )
        if done.returncode != 0:
            pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """`shell(line, *arguments)` runs a line of bash in an empty folder, with path.sh sourced and `arguments` as "$@".

    Keywords: `cwd`, `env` (added to the environment), `stdin` (text), `timeout` in seconds, `check` (fail the test
    unless the status is 0). Returns the CompletedProcess with text in stdout and stderr.
    """

    def run(
        line: str,
        *arguments: object,
        cwd: Path = tmp_path,
        env: dict[str, str] | None = None,
        stdin: str = "",
        timeout: float = 120,
        check: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        finished = subprocess.run(
            ["bash", "-c", f'. "{ROOT}/path.sh"\n{line}', "bash", *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert not check or finished.returncode == 0, f"{line}: status {finished.returncode}\n{finished.stderr}"
        return finished

    return run


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    """With SPK_NO_SKIPS=1 a skipped test fails, unless it skipped for a GPU or for corpora that are not there."""
    report = yield
    if os.environ.get("SPK_NO_SKIPS") == "1" and report.skipped and not hasattr(report, "wasxfail"):
        reason = str(call.excinfo.value)
        if not re.search(r"\b(GPU|corpora)\b", reason):
            report.outcome = "failed"
            report.longrepr = f"skipped although SPK_NO_SKIPS=1: {reason}"
    return report
