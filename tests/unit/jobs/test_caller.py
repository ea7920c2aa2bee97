"""A job whose script was killed by itself alone ends, as by SIGTERM."""

from __future__ import annotations

import os
import signal
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


def test_a_task_keeps_its_grace_when_step_and_job_are_told_to_stop_together(tmp_path):
    step = tmp_path / "step"
    step.write_text(
        f'#!/usr/bin/env bash\n# Usage: step\ncmd=run\n. "{ROOT}/path.sh"\n. parse_options.sh\n$cmd log/x.log ./task\n'
    )
    task = tmp_path / "task"
    task.write_text(
        "#!/usr/bin/env bash\ntrap 'sleep 4; echo saved; exit 143' TERM\n>ready\nwhile :; do sleep 0.1; done\n"
    )
    for script in (step, task):
        script.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    process = subprocess.Popen(
        [step], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_for((tmp_path / "ready").exists)
    os.killpg(process.pid, signal.SIGTERM)
    process.wait()
    assert "run: ended by SIGTERM" in process.stderr.read()
    log = (tmp_path / "log/x.log").read_text()
    assert "saved" in log and "Ended (code 143" in log


def wait_for(condition, patience: float = 60) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"{condition} does not come true"
        time.sleep(0.05)
