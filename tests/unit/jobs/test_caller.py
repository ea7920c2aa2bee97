"""A job whose script was killed by itself alone ends, as by SIGTERM."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

from spk.jobs.caller import VARIABLE, Caller

ROOT = Path(__file__).parents[3]


def test_a_script_goes_once(monkeypatch):
    script = subprocess.Popen(["sleep", "60"])
    monkeypatch.setenv(VARIABLE, f"{script.pid} {socket.gethostname()}")
    caller = Caller()
    assert not caller.has_just_gone()
    script.kill()
    script.wait()
    assert caller.has_just_gone()
    assert not caller.has_just_gone()


def test_without_a_script_or_with_one_of_another_machine_none_goes(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert not Caller().has_just_gone()
    monkeypatch.setenv(VARIABLE, "4194305 elsewhere")
    assert not Caller().has_just_gone()


def test_when_a_step_alone_is_killed_its_job_ends(tmp_path):
    step = tmp_path / "step"
    step.write_text(
        "#!/usr/bin/env bash\n# Usage: step\ncmd=run\n"
        f'. "{ROOT}/path.sh"\n. parse_options.sh\n$cmd log/x.log bash -c "echo \\$\\$ >pid; exec sleep 60"\n'
    )
    step.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    process = subprocess.Popen([step], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip())
    process.kill()
    process.wait()
    task = int((tmp_path / "pid").read_text())
    wait_for(lambda: not Path(f"/proc/{task}").exists())
    assert "run: ended by SIGTERM" in process.stderr.read()
    assert "stopped: SIGTERM" in (tmp_path / "log/x.log").read_text()


def wait_for(condition, patience: float = 60) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"{condition} does not come true"
        time.sleep(0.05)
