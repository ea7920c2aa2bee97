"""A Slurm cluster of our own on this machine: brought up once for the tests, and what they do to it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).parent / "slurm_cluster.sh"
NEEDED = ("slurmctld", "slurmd", "sbatch", "munged")


class SlurmSite:
    """The running cluster; `run` and `start` call utils/slurm as a user does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}

    def start(self, *words: object, cwd: Path, **others) -> subprocess.Popen[str]:
        """utils/slurm in a session of its own: signals to its group reach it as they do from a terminal."""
        return subprocess.Popen(
            [ROOT / "utils" / "slurm", *map(str, words)],
            cwd=cwd,
            env=self.environment,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=hear_all_signals,
            **others,
        )

    def run(self, *words: object, cwd: Path, timeout: float = 100) -> tuple[int, str]:
        """The status of utils/slurm and what it said."""
        return ended(self.start(*words, cwd=cwd), timeout)

    def tool(self, *words: object) -> str:
        """The output of one of Slurm's own tools."""
        done = subprocess.run(list(map(str, words)), env=self.environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def queue(self, name: str = "", but: tuple[str, ...] = ()) -> list[str]:
        """'ID_INDEX STATE' of the tasks that have not ended, of jobs named `name`..., and not one of `but`..."""
        rows = [line.split() for line in self.tool("squeue", "--array", "--noheader", "--format=%i %T %j").splitlines()]
        return [f"{id} {state}" for id, state, job in rows if job.startswith(name) and not job.startswith(but)]

    def await_queue(self, name: str, state: str) -> str:
        """The array's id, once one of its tasks is in this state."""
        found = wait_for(lambda: [row for row in self.queue(name) if row.endswith(f" {state}")])
        return found[0].partition("_")[0]

    def control(self, action: str) -> None:
        subprocess.run([SCRIPT, action, self.folder], check=True, timeout=60)


def hear_all_signals() -> None:
    for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_DFL)


def ended(process: subprocess.Popen[str], timeout: float = 100) -> tuple[int, str]:
    """The status of a call and what it said; a call that does not end fails the test, and leaves nothing behind."""
    try:
        _, said = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.terminate()
        _, said = process.communicate(timeout=30)
        pytest.fail(f"utils/slurm had not ended after {timeout} seconds; it had said:\n{said}")
    return process.returncode, said


def wait_for(what: Callable, seconds: float = 40):
    """What `what()` returns, once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"it did not come true within {seconds} seconds"
        time.sleep(0.1)
    return found


@pytest.fixture(scope="session")
def slurm() -> Iterator[SlurmSite]:
    """The cluster of this session of tests; a test is skipped where there cannot be one."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        pytest.skip(f"no Slurm here ({', '.join(missing)}): install slurmctld, slurmd, slurm-client, munge")
    if os.getuid() != 0:
        pytest.skip("a Slurm cluster of one's own needs root")
    # Not below pytest's folders, which no other user may enter.
    folder = Path(tempfile.mkdtemp(prefix="spk-slurm-"))
    folder.chmod(0o755)
    site = SlurmSite(folder)
    try:
        # It ends with this process, also when this is killed.
        subprocess.run([SCRIPT, "start", folder, str(os.getpid())], check=True, timeout=120)
        yield site
    finally:
        site.control("stop")
        shutil.rmtree(folder, ignore_errors=True)
