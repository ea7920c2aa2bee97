"""Commands as users write them, run in the test's own process: no start of Python for each."""

from __future__ import annotations

import importlib
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[[str], subprocess.CompletedProcess[str]]


def runner(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys, caplog) -> Run:
    """`run("spk verify exp a.wav b.wav")` or `run("score TRIALS ...")` in `folder`: what a shell would give.

    stderr has the log's lines and the last word of a command that fails.
    """
    monkeypatch.chdir(folder)
    caplog.set_level("INFO")

    def run(line: str) -> subprocess.CompletedProcess[str]:
        words = shlex.split(line, comments=True)
        monkeypatch.setattr(sys, "argv", words)
        module = importlib.import_module("spk.__main__" if words[0] == "spk" else f"spk.bin.{words[0]}")
        caplog.clear()
        capsys.readouterr()
        status, last_words = 0, ""
        try:
            module.main()
        except SystemExit as end:
            is_said = isinstance(end.code, str)
            status, last_words = (1, f"{end.code}\n") if is_said else (end.code or 0, "")
        said = capsys.readouterr()
        log = "".join(f"{message}\n" for message in caplog.messages)
        return subprocess.CompletedProcess(line, status, said.out, log + said.err + last_words)

    return run


def succeed(run: Run, line: str) -> str:
    """stdout of a command that must not fail."""
    finished = run(line)
    assert finished.returncode == 0, f"{line}: status {finished.returncode}\n{finished.stderr}"
    return finished.stdout
