"""The repository in a folder of its own, in which the commands of pages may write, and a bash that runs them."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("egs", "steps", "utils", "local")
LINKED = ("path.sh", "run.sh", "requirements.txt", "tests", ".venv")
MADE_BY_RECIPES = ("data", "exp", "corpora", "corpus", "corpus_data")


@dataclass(frozen=True)
class Ran:
    """A command of a page, and how it ended."""

    command: str
    status: int
    said: str

    @property
    def last_line(self) -> str:
        return (self.said.strip().splitlines() or [""])[-1]

    def __str__(self) -> str:
        return f"{self.command}\nstatus {self.status}\n{self.said[-3000:]}"


def copy_repository(folder: Path, with_package: bool = False) -> Path:
    """What recipes need, in `folder`; the package spk is a link unless a test writes into it."""
    for name in (*COPIED, *(["spk"] if with_package else [])):
        ignored = shutil.ignore_patterns(*MADE_BY_RECIPES) if name == "egs" else None
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in (*LINKED, *([] if with_package else ["spk"])):
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    for name in ("path.sh", "run.sh"):  # they find the rest beside themselves
        (folder / name).unlink()
        shutil.copy2(ROOT / name, folder / name)
    return folder


def commands_of(text: str) -> Iterator[str]:
    """One by one: lines that a backslash joins are one, a loop is one, and `a && b` are two."""
    gathered = ""
    for line in text.splitlines():
        gathered += line + "\n"
        words = re.sub(r"#.*", "", gathered)
        if line.endswith("\\") or len(re.findall(r"\bdo\b", words)) > len(re.findall(r"\bdone\b", words)):
            continue
        whole, gathered = gathered.strip(), ""
        if whole and not whole.startswith("#"):
            yield from re.split(r"\s+&&\s+", whole)


def run_commands(text: str, folder: Path, environment: Mapping[str, str], timeout: float = 600) -> list[Ran]:
    """Each command of a block in one shell, one after the other, whatever became of those before."""
    commands = list(commands_of(text))
    logs = folder / ".page_logs"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir()
    lines = [
        f'{{ {command}\n}} >"{logs}/{number}" 2>&1 </dev/null; echo $? >"{logs}/{number}.status"'
        for number, command in enumerate(commands)
    ]
    subprocess.run(["bash", "-c", "\n".join(lines)], cwd=folder, env=environment, check=True, timeout=timeout)
    return [
        Ran(command, int((logs / f"{number}.status").read_text()), (logs / str(number)).read_text(errors="replace"))
        for number, command in enumerate(commands)
    ]
