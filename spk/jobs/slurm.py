"""Slurm as a queue: sbatch, squeue, scancel, scontrol; no accounting database is needed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from spk.errors import InputError
from spk.jobs.cluster import (
    CANCELLED,
    OUT_OF_MEMORY,
    OVER_TIME,
    PREEMPTED,
    Ending,
    QueueSilent,
    State,
    current_folder,
)
from spk.jobs.cluster import run as run_in_queue
from spk.jobs.job import Job
from spk.jobs.log import signal_name
from spk.jobs.queue_tool import Done, QueueTool
from spk.jobs.site_config import SiteConfig, site_config

BUILT_IN = """
command sbatch
option mem=* --mem $0
option num_threads=* --cpus-per-task $0
option gpu=0
option gpu=* --gres gpu:$0
option time=* --time $0
option nodes=* --nodes $0 --ntasks-per-node 1
"""
ASK = QueueTool(
    "Slurm",
    # The controller (or its authentication) is away for the moment.
    silent=re.compile(
        r"contact slurm controller|timed out|Zero Bytes|Connection refused|connect failure|Transport endpoint"
        r"|standby mode|authentication error|Munge encode failed|temporarily unable|Communication connection failure",
        re.IGNORECASE,
    ),
    clutter=re.compile(r"^\w+: (error: |fatal: )?"),
)
# Why a task waits: what nobody will mend, and what comes to an end by itself. An administrator or the user may have to
# mend the others, such as a limit of the account, or a partition with nodes that are down.
NEVER = re.compile(
    r"BadConstraints|Invalid(Account|QOS)|(Account|QOS)NotAllowed|DependencyNeverSatisfied|PerJob|MaxMemPerLimit|QOSMin"
)
ORDINARY = re.compile(
    r"(None|Resources|Priority|Dependency|JobArrayTaskLimit|BeginTime|Cleaning|Prolog|BurstBuffer\w*)?"
)
GONE = {
    "CANCELLED": f"{CANCELLED} by scancel or an administrator",
    "DEADLINE": f"{OVER_TIME} (DEADLINE)",
    "TIMEOUT": f"{OVER_TIME} (TIMEOUT); ask for more with --time",
    "OUT_OF_MEMORY": f"{OUT_OF_MEMORY} (OUT_OF_MEMORY); ask for more with --mem",
    "PREEMPTED": f"{PREEMPTED} by another job (PREEMPTED)",
    "NODE_FAIL": "its node failed (NODE_FAIL)",
    "BOOT_FAIL": "its node did not start (BOOT_FAIL)",
}
# Memory is not always watched by what sets OUT_OF_MEMORY (JobAcctGatherParams=OverMemoryKill does not).
MEMORY = re.compile(r"exceeded memory limit|exceeded job memory|oom[-_ ]kill", re.IGNORECASE)
NO_INDEX = "4294967294"  # Slurm's word for "none"
EVERY_INDEX = 0
# What srun starts on each node. A node that fails ends the others, and its status is the task's, not that of those
# which it ended. One that was told to stop (143) does not hurry the others, which may still be saving.
ON_NODE = """
trap : TERM
SPK_NODE_RANK=$SLURM_NODEID "$@"
status=$?
if [ $status != 0 ]; then ln -s $status "$SPK_FIRST_STATUS" 2>/dev/null; fi
if [ $status = 143 ]; then exit 0; fi
exit $status
"""
# How long before its time limit a task with --requeue is told to stop.
WARNING_SECONDS = 60


def run(job: Job) -> int:
    """Run all tasks through Slurm; the exit status, as that of spk.jobs.local.run."""
    return run_in_queue(job, Slurm(site_config("slurm", BUILT_IN, job.config)))


class Slurm:
    """See spk.jobs.cluster.Queue."""

    name = "slurm"
    index_variable = "SLURM_ARRAY_TASK_ID"
    # SIGTERM is not among them: Slurm sends it to all processes of a job.
    signals_for_script = ("SIGUSR1",)
    # (srun itself would kill its tasks at once on SIGTERM.)
    stop_launched = ("sh", "-c", "scancel --signal=TERM $SLURM_JOB_ID")

    def __init__(self, config: SiteConfig) -> None:
        self.config = config
        self.tried: set[Path] = set()
        self.outputs: dict[str, Path] = {}  # by id, the folder of what Slurm itself writes of each task
        self.most = 0
        # By id and index, JobState and ExitCode ('status:signal') as Slurm knew them when squeue was last asked.
        self.records: dict[str, dict[int, tuple[str, str]]] = {}
        self.accounted: set[str] = set()  # the ids of which sacct was asked since then

    def submit(self, script: Path, num_tasks: int, job: Job) -> str:
        if script in self.tried and (ids := self.find(script.stem)):
            return ids[0]
        self.tried.add(script)
        at_once = f"%{job.max_jobs_run}" if job.max_jobs_run else ""
        words = [
            *self.config.submit_command({name: in_whole_units(value) for name, value in job.resources.items()}),
            "--parsable",
            f"--array=1-{num_tasks}{at_once}",
            f"--job-name={script.stem}",
            f"--chdir={current_folder()}",
            f"--output={str(Path(current_folder()) / script.parent / 'out').replace('%', '%%')}/%a",
            "--no-requeue",  # what is stopped is submitted again by us, or not at all
        ]
        if job.requeue:
            words.append(f"--signal=B:USR1@{warning_seconds(job.resources.get('time'))}")
        done = tool([*words, str(script.absolute())], timeout=150, interruptible=False)
        if done.returncode != 0:
            raise InputError(f"{words[0]} refused the job: {ASK.said(done)}")
        id = done.stdout.strip().splitlines()[-1].partition(";")[0]
        self.outputs[id] = script.parent / "out"
        return id

    def find(self, name: str) -> list[str]:
        done = tool(["squeue", "--noheader", f"--user={os.getuid()}", f"--name={name}", "--format=%F"])
        if done.returncode != 0:
            raise InputError(f"squeue failed: {ASK.said(done)}")
        return sorted(set(done.stdout.split()))

    def states(self, ids: list[str]) -> Mapping[tuple[str, int], State]:
        self.records.clear()
        self.accounted.clear()
        done = tool(["squeue", "--noheader", f"--jobs={','.join(ids)}", "--format=%F|%K|%T|%r"])
        if done.returncode != 0 and "Invalid job id" not in done.stderr:
            raise QueueSilent(ASK.said(done))
        return {
            (id, index): state_of(status, reason)
            for id, indices, status, reason in (line.split("|", 3) for line in done.stdout.splitlines())
            for index in parse_indices(indices)
        }

    def cancel(self, ids: list[str]) -> None:
        tool(["scancel", "--quiet", *ids], interruptible=False)

    def why_gone(self, id: str, index: int) -> Ending:
        state, code = self.recorded(id, index)
        if state in GONE:
            return Ending(GONE[state])
        if MEMORY.search(self.output(id, index)):
            return Ending(GONE["OUT_OF_MEMORY"])
        if state not in ("COMPLETED", "FAILED") or not code:
            return Ending()
        status, signum = (int(number or 0) for number in code.split(":"))
        return Ending(f"killed{signal_name(-signum)}", 128 + signum) if signum else Ending("", status)

    def recorded(self, id: str, index: int) -> tuple[str, str]:
        """JobState and ExitCode of a task, as long as Slurm or its accounting knows them; else two empty strings."""
        if id not in self.records:
            self.records[id] = read_records(tool(["scontrol", "--oneliner", "show", "job", id]).stdout)
        records = self.records[id]
        if index not in records and EVERY_INDEX not in records and id not in self.accounted and shutil.which("sacct"):
            self.accounted.add(id)
            with contextlib.suppress(QueueSilent):  # the accounting is not the queue
                done = tool(["sacct", "-n", "-X", "-P", "-j", id, "-o", "JobID,State,ExitCode"])
                records.update(read_accounts(done.stdout))
        return records.get(index) or records.get(EVERY_INDEX) or ("", "")

    def output(self, id: str, index: int) -> str:
        """What Slurm itself wrote of a task."""
        file = self.outputs.get(id, Path()) / str(index)
        return file.read_text(errors="replace") if file.is_file() else ""

    def max_array(self) -> int:
        """MaxArraySize is one more than the greatest index."""
        if not self.most:
            done = tool(["scontrol", "show", "config"])
            if done.returncode != 0:
                raise InputError(f"scontrol failed: {ASK.said(done)}")
            sizes = [int(size) - 1 for size in re.findall(r"MaxArraySize\s*=\s*(\d+)", done.stdout)]
            sizes += [int(size) for size in re.findall(r"max_array_tasks=(\d+)", done.stdout)]
            self.most = max(min(sizes, default=1000), 1)
        return self.most

    def launcher(self, job: Job) -> list[str]:
        num_nodes = job.resources.get("nodes", "1")
        if num_nodes == "1":
            return []
        return [
            "srun",
            f"--nodes={num_nodes}",
            "--ntasks-per-node=1",
            "--kill-on-bad-exit=1",
            "--export=ALL",  # what the script has exported; sbatch may have been given less
            "sh",
            "-c",
            ON_NODE,
            "sh",
        ]


def tool(words: list[str], timeout: float = 90, interruptible: bool = True) -> Done[str]:
    """Run one of Slurm's tools; QueueSilent when the controller does not answer it, Interrupted by a pending signal."""
    # Nothing is inherited from a job in which we run, nor how the user likes to see the queue; how it is found is.
    kept = ("SLURM_CONF", "SLURM_CLUSTERS")
    others = ("SLURM_", "SQUEUE_", "SCANCEL_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(others) or key in kept}
    environment["SLURM_BITSTR_LEN"] = "0"  # lists of indices are not cut short
    return ASK(words, timeout, interruptible, environment)


def state_of(status: str, reason: str) -> State:
    if status in ("SUSPENDED", "STOPPED"):
        return State("blocked", f"a task that had begun is suspended ({status})")
    if status not in ("PENDING", "REQUEUE_HOLD", "SPECIAL_EXIT"):
        return State("running")
    if NEVER.search(reason):
        return State("never", reason)
    if ORDINARY.fullmatch(reason) and status == "PENDING":
        return State("waiting")
    return State("blocked", reason)


def read_records(scontrol: str) -> dict[int, tuple[str, str]]:
    """index -> (JobState, ExitCode), of what `scontrol --oneliner show job ID` says."""
    records = {}
    for line in scontrol.splitlines():
        record = dict(re.findall(r"(ArrayTaskId|JobState|ExitCode)=(\S+)", line))
        outcome = record.get("JobState", ""), record.get("ExitCode", "")
        indices = record.get("ArrayTaskId", "")
        # Of tasks that were cancelled while they waited there is one record for all.
        records.update(dict.fromkeys([EVERY_INDEX] if indices == NO_INDEX else parse_indices(indices), outcome))
    return records


def read_accounts(sacct: str) -> dict[int, tuple[str, str]]:
    """index -> (State, ExitCode), of lines '31_4|CANCELLED by 1000|0:15' and '31_[5-9%2]|...'."""
    records = {}
    for line in sacct.splitlines():
        task, state, code = line.split("|")
        indices = task.partition("_")[2].strip("[]")
        records.update(dict.fromkeys(parse_indices(indices), (state.split(" ")[0], code)))
    return records


def parse_indices(text: str) -> Iterator[int]:
    """'3' or '5-7,9,11-15:2%4', as squeue lists the tasks of an array."""
    for part in text.partition("%")[0].split(","):
        span, _, step = part.partition(":")
        first, _, last = span.partition("-")
        if first.isdigit() and first != NO_INDEX:
            yield from range(int(first), int(last or first) + 1, int(step or 1))


def in_whole_units(value: str) -> str:
    """1.5G as 1536M: Slurm takes whole numbers. Other values stay."""
    match = re.fullmatch(r"(\d+\.\d+)([MGT])", value)
    return f"{round(float(match[1]) * 1024)}{'KMG'['MGT'.index(match[2])]}" if match else value


def warning_seconds(time: str | None) -> int:
    """How long before its limit a task is told to stop: a minute, or a quarter of a limit that is short."""
    if time is None:
        return WARNING_SECONDS
    days, _, clock = time.rpartition("-")
    hours, minutes, seconds = (int(part) for part in clock.split(":"))
    limit = ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
    return max(1, min(WARNING_SECONDS, limit // 4))
