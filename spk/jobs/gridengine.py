"""GridEngine as a queue: qsub, qstat, qdel; qacct where there is one. For Son of GridEngine and its relatives."""

from __future__ import annotations

import json
import os
import pwd
import re
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from spk.errors import InputError
from spk.jobs import gridengine_queue as said_by
from spk.jobs.cluster import CANCELLED, Ending, QueueSilent, State
from spk.jobs.cluster import run as run_in_queue
from spk.jobs.job import Job
from spk.jobs.queue_tool import Done, QueueTool
from spk.jobs.site_config import SiteConfig, site_config

# mem_free is what every GridEngine knows; it chooses a machine and limits nothing.
BUILT_IN = """
command qsub
option mem=* -l mem_free=$0
option num_threads=*  -pe smp $0
option num_threads=1
option gpu=* -l gpu=$0
option gpu=0
option time=* -l h_rt=$0
option nodes=*
option max_jobs_run=* -tc $0
"""
ASK = QueueTool(
    "GridEngine",
    # The master does not answer.
    silent=re.compile(
        r"commlib error|unable to (contact|send message to) qmaster|can't get response|failed receiving gdi request"
        r"|error reading answer list|got send error|got read error|can't unpack gdi",
        re.IGNORECASE,
    ),
    clutter=re.compile(r"^(Unable to run job: |error: )+|^Exiting\.$"),
)
# The record of a task reaches the accounting file with a delay (reporting_params flush_time: 15 s).
ACCOUNTING_SECONDS = 20.0
# How long a file may take to appear here that a node has written.
FILE_SECONDS = 5.0
NOWHERE = "/dev/null"
# Above what any site allows in one array, unless it has no limit.
UNLIMITED = 10**6


def run(job: Job) -> int:
    """Run all tasks through GridEngine; the exit status, as that of spk.jobs.local.run."""
    config = site_config("gridengine", BUILT_IN, job.config)
    asked = requests(config.submit_command(in_clock_time(job.resources)))
    return run_in_queue(job, GridEngine(config, job.requeue or any(request.startswith("s_rt=") for request in asked)))


class GridEngine:
    """See spk.jobs.cluster.Queue."""

    name = "gridengine"
    index_variable = "SGE_TASK_ID"
    # -notify: USR2 before the end, whatever its reason.
    signals_for_script: tuple[str, ...] = ("SIGTERM", "SIGINT", "SIGUSR2", "SIGXCPU")
    stop_launched = ()

    def __init__(self, config: SiteConfig, ends_at_usr1: bool = False) -> None:
        """`ends_at_usr1`: does a task end at SIGUSR1, which comes before a suspension and at a soft limit."""
        self.config = config
        if ends_at_usr1:
            self.signals_for_script += ("SIGUSR1",)
        try:
            self.user = pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            raise InputError(f"user {os.getuid()} has no name on this machine, by which to ask for jobs") from None
        self.tried: set[Path] = set()
        self.folders: dict[str, Path] = {}
        self.selected: dict[str, list[str]] = {}  # of each array the words of qselect that find the queues for it
        self.deleted: set[tuple[str, int]] = set()
        self.gone_since: dict[tuple[str, int], float] = {}
        self.accounted: dict[str, dict[int, dict[str, str]]] = {}  # by id, see `accounts`
        self.accounting = True  # is there an accounting that may yet tell of a task
        self.most = 0

    def submit(self, script: Path, num_tasks: int, job: Job) -> str:
        ids = self.find(script.stem) if script in self.tried else []
        self.tried.add(script)
        resources = in_clock_time(job.resources)
        if job.max_jobs_run:
            resources["max_jobs_run"] = str(job.max_jobs_run)
        asked = self.config.submit_command(resources)
        id = ids[0] if ids else self.accepted(asked, [*self.wanted(script, num_tasks), os.fspath(script)])
        self.folders[id] = script.parent
        self.selected[id] = selection(asked)
        return id

    def wanted(self, script: Path, num_tasks: int) -> list[str]:
        """The flags that are ours. `-r n`: what is stopped is submitted again by us, or not at all."""
        # The script goes to the folder anyway.
        place = ["-wd", "/"] if "$" in os.fspath(Path.cwd()) else ["-cwd"]
        flags = ["-terse", *place, "-S", "/bin/bash", "-N", script.stem, "-j", "y", "-o", output_path(script.parent)]
        return [*flags, "-t", f"1-{num_tasks}", "-notify", "-r", "n"]

    def accepted(self, asked: list[str], wanted: list[str]) -> str:
        """Submit; the id. InputError when it is refused, or no machine has what it asks for.

        With `-w e` GridEngine refuses what no queue will ever have, but takes no note of what machines measure
        (mem_free), and refuses any request for that: then the rest is verified, and the measured is compared by us.
        """
        if "-w" in asked:
            done = tool([*asked, *wanted], interruptible=False)
        else:
            done = tool([*asked, "-w", "e", *wanted], interruptible=False)
            measured = self.measured(asked) if "no suitable queue" in done.stderr else []
            if measured:
                rest = tool([*without(asked, measured), "-w", "v", *wanted])
                if rest.returncode == 0:
                    self.check_memory(asked)
                    done = tool([*asked, "-w", "n", *wanted], interruptible=False)
        if done.returncode != 0:
            hint = ""
            if "no suitable queue" in done.stderr:
                hint = f"; no machine has all of {' '.join(asked[1:])} (some of it for each slot of -pe)"
            raise InputError(f"{asked[0]} refused the job: {ASK.said(done)}{hint}")
        match = re.search(r"^\d+", done.stdout, re.MULTILINE)
        if not match:
            raise InputError(f"{asked[0]} gave no number for the job, but: {done.stdout.strip()!r}")
        return match[0]

    def measured(self, asked: Sequence[str]) -> list[str]:
        """The names among the requested resources whose value is what machines report."""
        names = [request.partition("=")[0] for request in requests(asked)]
        return [name for name in names if re.search(r"\b[gh]l:", tool(["qhost", "-F", name]).stdout)]

    def check_memory(self, asked: Sequence[str]) -> None:
        """InputError for more free memory than the largest machine has."""
        wanted = [request for request in requests(asked) if re.match(r"(mem_free|mf)=", request)]
        totals = re.findall(r"l:mem_total=(\S+)", tool(["qhost", "-F", "mem_total"]).stdout)
        for request in wanted:
            if totals and said_by.number_of_bytes(request.partition("=")[2]) > max(
                map(said_by.number_of_bytes, totals)
            ):
                largest = max(totals, key=said_by.number_of_bytes)
                raise InputError(
                    f"{request}: the largest machine of this cluster has {largest}; ask for less with --mem"
                )

    def find(self, name: str) -> list[str]:
        done = tool(["qstat", "-u", self.user, "-r"])
        if done.returncode != 0:
            raise InputError(f"qstat failed: {ASK.said(done)}")
        return said_by.jobs_named(done.stdout, name)

    def states(self, ids: list[str]) -> Mapping[tuple[str, int], State]:
        self.accounted.clear()
        done = tool(["qstat", "-u", self.user])
        if done.returncode != 0:
            raise QueueSilent(ASK.said(done))
        letters = {(job, task): state for job, task, state in said_by.read_jobs(done.stdout) if job in ids}
        self.deleted |= {key for key, state in letters.items() if "d" in state}
        in_error = {id for (id, _), state in letters.items() if "E" in state}
        reasons = {id: said_by.error_reasons(tool(["qstat", "-j", id]).stdout) for id in in_error}
        running = any("q" not in state for state in letters.values())
        # Of these qstat goes on to say that they run.
        lost = set()
        if running:
            unreachable = tool(["qstat", "-u", self.user, "-s", "r", "-qs", "u"]).stdout
            lost = {(job, task) for job, task, _ in said_by.read_jobs(unreachable)}
        none_runs = {id for id, _ in letters} - {id for (id, _), state in letters.items() if "q" not in state}
        closed = self.why_closed(sorted(none_runs)) if none_runs else {}
        return {
            (id, task): state_of(state, reasons.get(id, {}).get(task, ""), closed.get(id, ""), (id, task) in lost)
            for (id, task), state in letters.items()
        }

    def why_closed(self, ids: Sequence[str]) -> dict[str, str]:
        """id -> why every queue that could take this array takes nothing, for those for which it is so."""
        done = tool(["qstat", "-f", "-explain", "E", "-u", self.user])
        instances = said_by.read_instances(done.stdout)
        closed = {}
        for id in ids:
            names = tool(["qselect", *self.selected.get(id, [])]).stdout.split()
            chosen = [instances[name] for name in names if name in instances] or list(instances.values())
            if chosen and all(instance.closed for instance in chosen):
                closed[id] = "; ".join(f"queue {instance.name} is {instance.closed}" for instance in chosen[:3])
                if len(chosen) > 3:
                    closed[id] += f"; and {len(chosen) - 3} more"
        return closed

    def cancel(self, ids: list[str]) -> None:
        tool(["qdel", *ids], interruptible=False)

    def why_gone(self, id: str, index: int) -> Ending | None:
        key = (id, index)
        since = self.gone_since.setdefault(key, time.monotonic())
        if key in self.deleted:
            return Ending(f"{CANCELLED} by qdel")
        folder = self.folders[id]
        marker = folder / "done" / str(index)
        signalled = json.loads(marker.read_text())["signalled"] if marker.exists() else ""
        account = self.accounts(id).get(index)
        if signalled and account is None and self.accounting and time.monotonic() - since < ACCOUNTING_SECONDS:
            return None
        if account and (signalled or not marker.exists() or account.get("failed", "").startswith("37")):
            return Ending(said_by.why_ended(account, signalled), said_by.status_ended(account))
        if signalled == "SIGUSR2":
            return Ending(f"{CANCELLED} by qdel")
        began = output_path(folder) == NOWHERE or (folder / "out" / str(index)).exists()
        if not signalled and not began and time.monotonic() - since > FILE_SECONDS:
            return Ending(f"{CANCELLED} by qdel while it waited")
        return Ending()

    def accounts(self, id: str) -> Mapping[int, Mapping[str, str]]:
        """index -> record, of what the accounting had of this array when the queue was last asked."""
        if id not in self.accounted:
            self.accounted[id] = {}
            try:
                done = tool(["qacct", "-j", id], timeout=15)
            except (QueueSilent, InputError):
                self.accounting = False
            else:
                self.accounted[id] = said_by.read_accounts(done.stdout)
                self.accounting = done.returncode == 0 or "not found" in done.stderr
        return self.accounted[id]

    def max_array(self) -> int:
        if not self.most:
            done = tool(["qconf", "-sconf"])
            if done.returncode != 0:
                raise InputError(f"qconf failed: {ASK.said(done)}")
            sizes = re.findall(r"^max_aj_tasks\s+(\d+)", done.stdout, re.MULTILINE)
            self.most = int(sizes[0]) if sizes else 1000
            self.most = self.most or UNLIMITED
        return self.most

    def launcher(self, job: Job) -> list[str]:
        num_nodes = job.resources.get("nodes", "1")
        if num_nodes != "1":
            raise InputError(
                f"--nodes {num_nodes}: gridengine gives a task one machine; take more GPUs of it, or utils/slurm"
            )
        return []


def tool(words: list[str], timeout: float = 60, interruptible: bool = True) -> Done[str]:
    """Run one of GridEngine's tools; QueueSilent when its master does not answer, Interrupted by a pending signal."""
    done = ASK(words, timeout, interruptible)
    if done.returncode != 0 and re.search(r"SGE_ROOT|SGE_CELL|cell directory|act_qmaster", done.stderr):
        raise InputError(f"{words[0]}: {ASK.said(done)} (has the site's settings.sh been sourced?)")
    return done


def state_of(letters: str, error: str, closed: str, lost: bool) -> State:
    """`error`: why it is in the error state; `closed`: why no queue takes it; `lost`: is its machine unreachable."""
    if "E" in letters:
        return State("never", f"{letters}: {error or 'no reason given'}")
    if "q" not in letters:
        if lost:
            return State("blocked", "the machine of a task that had begun does not answer GridEngine (qstat -f -qs u)")
        if set("sST") & set(letters):
            return State("blocked", f"a task that had begun is suspended ({letters})")
        return State("running")
    if "h" in letters:
        return State("blocked", f"it is held ({letters}; qalter -h U, or qrls, lets it go)")
    return State("blocked", closed) if closed else State("waiting")


def output_path(folder: Path) -> str:
    """Where the queue's own words on a task of this array go, as qsub's -o takes it: relative to the caller's folder.

    In paths of qsub a colon ends a host, a comma the path, and variables are filled in, also in the caller's folder.
    """
    path = os.path.relpath(folder)
    return NOWHERE if re.search(r"[:,$]", path) or "$" in os.fspath(Path.cwd()) else f"{path}/out/$TASK_ID"


def in_clock_time(resources: Mapping[str, str]) -> dict[str, str]:
    """The resources, with a time of 2-00:00:00 as 48:00:00."""
    days, dash, clock = resources.get("time", "").rpartition("-")
    if not dash:
        return dict(resources)
    hours, rest = clock.split(":", 1)
    return {**resources, "time": f"{int(days) * 24 + int(hours)}:{rest}"}


def requests(words: Sequence[str]) -> list[str]:
    """['-l', 'a=1,b=2', '-l', 'c=3'] as ['a=1', 'b=2', 'c=3']."""
    lists = [words[place + 1] for place, word in enumerate(words[:-1]) if word == "-l"]
    return [request for text in lists for request in text.split(",")]


def without(words: Sequence[str], names: Sequence[str]) -> list[str]:
    """The words of qsub less the requests for these resources."""
    kept: list[str] = []
    for word in words:
        if kept and kept[-1] == "-l":
            left = [request for request in word.split(",") if request.partition("=")[0] not in names]
            if left:
                kept.append(",".join(left))
            else:
                kept.pop()
        else:
            kept.append(word)
    return kept


def selection(asked: Sequence[str]) -> list[str]:
    """The words of qselect for the queues and the parallel environment that a request names."""
    return [word for flag, value in pairwise(asked) if flag in ("-q", "-pe") for word in (flag, value)]
