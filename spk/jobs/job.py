"""A job: one command that runs as tasks first..last, each with its own log. What every engine is given."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from spk.errors import InputError
from spk.schema import nearest

# What a task may ask for, what the value must look like, and how to say so. Every engine takes them all.
RESOURCES = {
    "mem": (r"\d+(\.\d+)?[KMGT]", "memory of a task, as 4G or 500M"),
    "gpu": (r"\d+", "the number of GPUs of a task"),
    "num_threads": (r"[1-9]\d*", "the number of threads of a task, 1 or more"),
    "time": (r"(\d+-)?\d+:\d\d:\d\d", "the time a task may take, as 12:00:00 or 2-00:00:00"),
    "nodes": (r"[1-9]\d*", "the number of machines on which the command of a task is started, 1 or more"),
}
# What the engines themselves see to.
CONTROLS = {
    "max_jobs_run": (r"[1-9]\d*", "the number of tasks that run at once, 1 or more"),
    "retries": (r"\d+", "how often a task that failed is started again, 0 or more"),
    "requeue": (r"true|false", "true or false: is a task that was stopped (status 143) started again"),
    "config": (r".+", "the file with the site's options"),
}
SHELL_WORDS = {"|", "||", "&", "&&", ";", ">", ">>", "<", "2>", "2>&1"}


@dataclass(frozen=True)
class Job:
    """A command and the range of its tasks. `variable` (JOB) stands for the task's number in `log` and `argv`."""

    log: str
    argv: Sequence[str]
    variable: str | None = None
    first: int = 1
    last: int = 1
    resources: Mapping[str, str] = field(default_factory=dict)
    max_jobs_run: int | None = None
    retries: int = 0
    requeue: bool = False
    config: str | None = None
    launcher: Sequence[str] = ()  # what an engine puts before the command on the machine where it runs

    @property
    def tasks(self) -> range:
        return range(self.first, self.last + 1)

    def log_of(self, task: int) -> str:
        return self._filled(self.log, task)

    def argv_of(self, task: int) -> list[str]:
        return [self._filled(word, task) for word in self.argv]

    def name_of(self, task: int) -> str:
        """How messages name a task."""
        return f"task {task} of {len(self.tasks)}" if self.variable else self.argv[0]

    def _filled(self, text: str, task: int) -> str:
        return text.replace(self.variable, str(task)) if self.variable else text


def parse_job(words: Sequence[str], site_options: bool = False) -> Job:
    """`[--option VALUE ...] [NAME=FIRST:LAST] [--option VALUE ...] LOG COMMAND ...` as a Job, else InputError.

    With `site_options` any further option is taken among the resources: the site's own file decides on it.
    """
    words = list(words)
    options: dict[str, str] = {}
    variable, first, last = None, 1, 1
    while words:
        if words[0].startswith("--"):
            name, value = take_option(words, site_options)
            options[name] = value
        elif variable is None and re.match(r"[A-Za-z_]\w*=", words[0]):
            variable, first, last = parse_range(words.pop(0))
        else:
            break
    if words and words[0].startswith("-"):
        raise InputError(
            f"{words[0]}: options have two dashes, as --mem 4G; what a queue alone knows goes into conf/slurm.conf or "
            "conf/gridengine.conf, line 'command' or 'option' (docs/clusters.md)"
        )
    if len(words) < 2:
        raise InputError("needs a log file and a command: [options] [JOB=1:N] log/x.JOB.log COMMAND ... (see --help)")
    log, *argv = words
    if last > first and variable not in log:
        raise InputError(f"{log}: all tasks {first} to {last} would write this one log; put {variable} into its name")
    for word in SHELL_WORDS.intersection(argv):
        print(f"note: {word!r} is handed to {argv[0]} as it is; for a shell, use: bash -c '...'", file=sys.stderr)
    if variable:
        point_out_longer_names(variable, words)
    controls = {name: options.pop(name, None) for name in CONTROLS}
    return Job(
        log,
        argv,
        variable,
        first,
        last,
        options,
        max_jobs_run=int(controls["max_jobs_run"]) if controls["max_jobs_run"] else None,
        retries=int(controls["retries"] or 0),
        requeue=controls["requeue"] == "true",
        config=controls["config"],
    )


def point_out_longer_names(variable: str, words: Sequence[str]) -> None:
    """As in Kaldi the variable is replaced wherever it stands, which is seldom meant in JOBS or SLURM_JOB_ID."""
    longer = re.compile(rf"\w*(?:[A-Z]{variable}|{variable}_?[A-Z])\w*")
    for name in dict.fromkeys(found for word in words for found in longer.findall(word)):
        print(
            f"note: {variable} is replaced in {name!r} too; for another name write TASK=1:N instead of {variable}=1:N",
            file=sys.stderr,
        )


def take_option(words: list[str], site_options: bool = False) -> tuple[str, str]:
    """Remove `--some-name value` or `--some-name=value` from the front of `words`; return ('some_name', 'value')."""
    flag, equals, value = words.pop(0).partition("=")
    name = flag.removeprefix("--").replace("-", "_")
    known = {**RESOURCES, **CONTROLS}
    if name not in known and not site_options:
        raise InputError(f"unknown option {flag}; {nearest(flag, ('--' + key.replace('_', '-') for key in known))}")
    if not equals:
        if not words:
            raise InputError(f"option {flag} needs a value")
        value = words.pop(0)
    pattern, meaning = known.get(name, (r"(?s).*", ""))
    if not re.fullmatch(pattern, value):
        raise InputError(f"{flag} {value!r}: this is {meaning}")
    return name, value


def parse_range(word: str) -> tuple[str, int, int]:
    """'JOB=1:8' or 'JOB=3' as (name, first, last)."""
    variable, _, text = word.partition("=")
    match = re.fullmatch(r"(\d+)(?::(\d+))?", text)
    if not match:
        raise InputError(f"{word}: not a range of tasks; write {variable}=1:8")
    first = int(match[1])
    last = int(match[2] or first)
    if first < 1 or last < first:
        raise InputError(f"{word}: a range of tasks begins at 1 or later and does not end before it begins")
    return variable, first, last
