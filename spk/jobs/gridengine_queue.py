"""What GridEngine's commands print, read: tasks and their states, why they wait, what became of them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from spk.jobs.cluster import CANCELLED, OUT_OF_MEMORY, OVER_TIME, PREEMPTED

# "  8 0.50000 name  user  hqw  11/21/2026 21:10:49  all.q@node  1 1,2,10-12:1"
# A name may hold blanks; there may be no queue, and no task.
JOB_LINE = re.compile(r"\s*(\d+)\s+[\d.]+\s+.*?\s+\S+\s+([a-zA-Z]+)\s+\d\d/\d\d/\d{4}\s+\d\d:\d\d:\d\d\S*\s+(.*)")
# "all.q@node  BIP  0/0/8  0.42  lx-amd64  E"
INSTANCE_LINE = re.compile(r"(\S+@\S+)\s+\S+\s+\d+/(?:\d+/)?\d+\s+\S+\s+\S+(?:\s+(\S+))?\s*$")
# What the letters of a queue instance say, if it starts nothing.
CLOSED = {
    "E": "in error",
    "d": "disabled",
    "D": "disabled",
    "u": "unreachable",
    "s": "suspended",
    "S": "suspended",
    "C": "suspended",
    "o": "orphaned",
    "c": "misconfigured",
}
BYTES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def read_jobs(qstat: str) -> Iterator[tuple[str, int, str]]:
    """(job, task, letters of its state) of every task that `qstat` shows; the task of a job without tasks is 1."""
    for line in qstat.splitlines():
        match = JOB_LINE.match(line)
        if match:
            words = match[3].split()
            if "@" in words[0]:
                words.pop(0)
            for task in read_tasks(words[1] if len(words) > 1 else "1"):
                yield match[1], task, match[2]


def jobs_named(qstat_r: str, name: str) -> list[str]:
    """The jobs of that name, of what `qstat -r` says (elsewhere names are cut short)."""
    found: dict[str, None] = {}
    job = ""
    for line in qstat_r.splitlines():
        match = JOB_LINE.match(line)
        job = match[1] if match else job
        if re.fullmatch(rf"\s+Full jobname:\s+{re.escape(name)}\s*", line):
            found[job] = None
    return list(found)


def read_tasks(text: str) -> Iterator[int]:
    """'1,3,10-14:2' as 1, 3, 10, 12, 14."""
    for part in text.split(","):
        first, last, step = re.fullmatch(r"(\d+)(?:-(\d+))?(?::(\d+))?", part).groups()
        yield from range(int(first), int(last or first) + 1, int(step or 1))


def error_reasons(qstat_j: str) -> dict[int, str]:
    """task -> why it is in the error state, of what `qstat -j JOB` says."""
    found = re.findall(r"^error reason\s+(\d+):\s+(.*)", qstat_j, re.MULTILINE)
    return {int(task): re.sub(r"^[\d/]+ [\d:.]+ (\[\S*\]: )?(error: )?", "", reason) for task, reason in found}


@dataclass
class Instance:
    """A queue on one host."""

    name: str
    letters: str
    explanations: list[str] = field(default_factory=list)

    @property
    def closed(self) -> str:
        """Why it starts nothing, in words; '' when it does (it may be full)."""
        words = list(dict.fromkeys(CLOSED[letter] for letter in self.letters if letter in CLOSED))
        return " and ".join(words) + "".join(f" ({line})" for line in self.explanations) if words else ""


def read_instances(qstat_f: str) -> dict[str, Instance]:
    """name -> queue instance, of what `qstat -f -explain E` says."""
    instances: dict[str, Instance] = {}
    last = None
    for line in qstat_f.splitlines():
        match = INSTANCE_LINE.match(line)
        if match:
            last = instances[match[1]] = Instance(match[1], match[2] or "")
        elif line.startswith("\t") and last:
            last.explanations.append(line.strip())
        elif not line.startswith("-"):
            last = None
    return instances


def read_accounts(qacct: str) -> dict[int, dict[str, str]]:
    """task -> the last record of it (name -> value, blanks stripped), of what `qacct -j JOB` says."""
    accounts = {}
    for record in re.split(r"^={20,}\s*$", qacct, flags=re.MULTILINE):
        pairs = (line.partition(" ") for line in record.splitlines())
        account = {name: value.strip() for name, _, value in pairs if name.isidentifier()}
        if account.get("taskid", "").isdigit():
            accounts[int(account["taskid"])] = account
    return accounts


def why_ended(account: Mapping[str, str], signalled: str) -> str:
    """What ended a task, by its record (man accounting) and the signal that its script got first ('' for none)."""
    failed, _, what = (part.strip() for part in account.get("failed", "0").partition(":"))
    asked = dict(re.findall(r"(\w+)=([\w.:]+)", account.get("category", "")))
    seconds = float(re.match(r"[\d.]*", account.get("ru_wallclock", ""))[0] or 0)
    if failed == "37":  # h_rt, h_cpu or h_vmem
        limit = number_of_bytes(asked.get("h_vmem", "")) * int(account.get("slots", 1))
        if number_of_bytes(account.get("maxvmem", "").removesuffix("B")) > limit:
            return f"{OUT_OF_MEMORY}: it took {account['maxvmem']} of h_vmem={asked['h_vmem']}; ask for more with --mem"
        return f"{OVER_TIME}, after {seconds:.0f} seconds; ask for more with --time"
    if signalled == "SIGUSR2":
        return f"{CANCELLED} by qdel"
    if signalled == "SIGUSR1":
        return f"{OVER_TIME} s_rt={asked['s_rt']}" if "s_rt" in asked else f"{PREEMPTED}: it was to be suspended"
    if signalled == "SIGXCPU":
        return "over its soft limit of processor time or memory (SIGXCPU)"
    status = account.get("exit_status", "0").split(" ")[0]
    if status in ("0", "") and failed == "0":
        return ""
    killed = f"killed (exit status {status})" if status == "137" else f"exit status {status}"
    return killed if failed in ("0", "100") else f"{killed}; {what}"


def status_ended(account: Mapping[str, str]) -> int | None:
    """The exit status of a task's script, by its record; None when there is none, or GridEngine ended it."""
    failed = account.get("failed", "0").partition(":")[0].strip()
    status = account.get("exit_status", "").split(" ")[0]
    return int(status) if failed in ("0", "100") and status.isdigit() else None


def number_of_bytes(text: str) -> float:
    """'23.541G' as a number; K, M, G, T count by 1024 and k, m, g, t by 1000 (man sge_types). No number: infinity."""
    match = re.fullmatch(r"(\d[\d.]*)([KMGTkmgt]?)", text)
    return float(match[1]) * BYTES[match[2]] if match else math.inf
