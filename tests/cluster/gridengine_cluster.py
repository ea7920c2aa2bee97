"""A real GridEngine of one node, brought up for a test file and taken down after it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "gridengine.sh"
NEEDED = {
    "sge_qmaster": "gridengine-master",
    "sge_execd": "gridengine-exec",
    "qsub": "gridengine-client",
    "ip": "iproute2",
}
Finished = subprocess.CompletedProcess


class GridEngine:
    """`run(command...)` and `start(command...)` let a command see it; the rest is an administrator's."""

    def __init__(self, name: str) -> None:
        self.env = {**os.environ, "SPK_GRIDENGINE": name}

    def bring_up(self) -> None:
        subprocess.run([SCRIPT, "start"], env=self.env, check=True, timeout=120)

    def stop(self) -> None:
        subprocess.run([SCRIPT, "stop"], env=self.env, check=True, timeout=120)

    def command(self, *words: object) -> list[str]:
        return [os.fspath(SCRIPT), "run", *map(str, words)]

    def run(self, *words: object, cwd: Path | None = None, timeout: float = 120) -> Finished[str]:
        return subprocess.run(
            self.command(*words), cwd=cwd, env=self.env, capture_output=True, text=True, timeout=timeout
        )

    def start(self, *words: object, cwd: Path | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*words), cwd=cwd, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def administer(self, *words: object) -> str:
        finished = self.run(*words)
        assert finished.returncode == 0, f"{words}: {finished.stdout}{finished.stderr}"
        return finished.stdout

    def queue(self) -> list[str]:
        """The lines of qstat, one a job or group of its tasks, without the head."""
        return self.administer("qstat").splitlines()[2:]

    def await_queue(self, condition: Callable[[list[str]], bool], seconds: float = 30) -> list[str]:
        """The queue's lines as soon as they are so."""
        deadline = time.monotonic() + seconds
        while not condition(lines := self.queue()):
            assert time.monotonic() < deadline, "\n".join(["not so:", *lines])
            time.sleep(0.1)
        return lines

    def break_queue(self) -> None:
        """Bring the queue into the error state, as a node does on which a site's prolog is missing."""
        self.administer("qconf", "-mattr", "queue", "prolog", "/nonexistent/prolog", "all.q")
        self.administer("qsub", "-N", "breaks", "-o", "/dev/null", "-j", "y", "-b", "y", "true")
        deadline = time.monotonic() + 30
        while not self.run("qselect", "-qs", "E").stdout:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        self.administer("qdel", "breaks")
        self.administer("qconf", "-mattr", "queue", "prolog", "NONE", "all.q")

    def mend_queue(self) -> None:
        self.administer("qmod", "-cq", "all.q")

    def clear(self) -> None:
        """An empty queue that works, whatever a test that failed has left."""
        self.run("qdel", "-f", "*")
        self.run("qmod", "-cq", "all.q")
        self.run("qmod", "-e", "all.q")

    def stop_master(self) -> None:
        self.administer("qconf", "-km")
        deadline = time.monotonic() + 30
        while "sge_qmaster" in self.daemons():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    def start_master(self) -> None:
        self.administer("sge_qmaster")

    def daemons(self) -> list[str]:
        pids = self.administer("ip", "netns", "pids", self.env["SPK_GRIDENGINE"]).split()
        return [Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids if Path(f"/proc/{pid}/comm").exists()]

    def set_global(self, name: str, value: object) -> None:
        """One line of the cluster's configuration (man sge_conf)."""
        lines = [line for line in self.administer("qconf", "-sconf").splitlines() if not line.startswith("#")]
        changed = [f"{name} {value}" if line.split(" ")[0] == name else line for line in lines]
        assert changed != lines
        folder = Path(self.administer("mktemp", "-d").strip())
        try:
            (folder / "global").write_text("\n".join(changed) + "\n")
            self.administer("qconf", "-Mconf", folder / "global")
        finally:
            shutil.rmtree(folder)


@pytest.fixture(scope="module")
def gridengine() -> Iterator[GridEngine]:
    """A GridEngine of this module's own; the test is skipped where there cannot be one."""
    missing = [package for program, package in NEEDED.items() if not which(program)]
    if missing:
        pytest.skip(f"no GridEngine here: install {' '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("only root can bring up a GridEngine")
    tried = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(f"no network namespace can be made here: {tried.stderr.strip()}")
    cluster = GridEngine(f"spk-sge-{os.getpid()}")
    try:
        cluster.bring_up()
        yield cluster
    finally:
        cluster.stop()


def which(program: str) -> str | None:
    return shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin")
