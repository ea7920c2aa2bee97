"""How the answers of Slurm are read, and what is asked of it. Its tools are scripts that answer as Slurm 22.05 did."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from spk.errors import InputError
from spk.jobs.cluster import Interrupted, QueueFull, QueueSilent, State
from spk.jobs.job import Job
from spk.jobs.site_config import parse_site_config
from spk.jobs.slurm import BUILT_IN, Slurm, in_whole_units, parse_indices, state_of, warning_seconds


@pytest.mark.parametrize(
    "text, indices",
    [
        ("7", [7]),
        ("2-4", [2, 3, 4]),
        ("1,3-4,8-12:2%4", [1, 3, 4, 8, 10, 12]),
        ("5-7%2", [5, 6, 7]),
        ("N/A", []),
        ("4294967294", []),
        ("", []),
    ],
)
def test_the_indices_of_waiting_tasks_are_read(text, indices):
    assert list(parse_indices(text)) == indices


@pytest.mark.parametrize(
    "status, reason, state",
    [
        ("RUNNING", "None", State("running")),
        ("COMPLETING", "None", State("running")),
        ("PENDING", "Resources", State("waiting")),
        ("PENDING", "Priority", State("waiting")),
        ("PENDING", "JobArrayTaskLimit", State("waiting")),
        ("PENDING", "BadConstraints", State("never", "BadConstraints")),
        ("PENDING", "QOSMaxMemoryPerJob", State("never", "QOSMaxMemoryPerJob")),
        ("PENDING", "PartitionTimeLimit", State("blocked", "PartitionTimeLimit")),
        ("PENDING", "PartitionNodeLimit", State("blocked", "PartitionNodeLimit")),
        ("PENDING", "AssocGrpCPUMinutesLimit", State("blocked", "AssocGrpCPUMinutesLimit")),
        ("PENDING", "Licenses", State("blocked", "Licenses")),
        ("SUSPENDED", "None", State("blocked", "a task that had begun is suspended (SUSPENDED)")),
        ("PENDING", "ReqNodeNotAvail, UnavailableNodes:n1", State("blocked", "ReqNodeNotAvail, UnavailableNodes:n1")),
        ("PENDING", "JobHeldUser", State("blocked", "JobHeldUser")),
        ("PENDING", "JobHeldAdmin", State("blocked", "JobHeldAdmin")),
        ("REQUEUE_HOLD", "launch failed requeued held", State("blocked", "launch failed requeued held")),
    ],
)
def test_a_reason_to_wait_is_harmless_for_somebody_to_mend_or_for_ever(status, reason, state):
    assert state_of(status, reason) == state


@pytest.mark.parametrize(
    "given, whole", [("4G", "4G"), ("1.5G", "1536M"), ("0.5M", "512K"), ("1.25T", "1280G"), ("2", "2"), ("1.5", "1.5")]
)
def test_memory_is_asked_for_in_whole_numbers(given, whole):
    assert in_whole_units(given) == whole


@pytest.mark.parametrize(
    "time, seconds",
    [(None, 60), ("12:00:00", 60), ("2-00:00:00", 60), ("0:01:00", 15), ("0:02:00", 30), ("0:00:01", 1)],
)
def test_a_task_is_warned_a_minute_or_a_quarter_before_its_limit(time, seconds):
    assert warning_seconds(time) == seconds


def test_several_nodes_are_asked_for_and_the_command_started_on_each():
    slurm = Slurm(parse_site_config(BUILT_IN, "built in"))
    assert slurm.config.submit_command({"nodes": "4"}) == ["sbatch", "--nodes", "4", "--ntasks-per-node", "1"]
    assert slurm.launcher(Job("x", ["true"], resources={"nodes": "4"}))[:3] == [
        "srun",
        "--nodes=4",
        "--ntasks-per-node=1",
    ]
    assert slurm.launcher(Job("x", ["true"], resources={"nodes": "1"})) == []
    assert slurm.launcher(Job("x", ["true"])) == []


@pytest.fixture
def tool(tmp_path, monkeypatch) -> Callable[[str, str], None]:
    """`tool("squeue", "echo x")` puts a tool of that name before all others."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def make(name: str, code: str) -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\n{code}\n")
        (tmp_path / name).chmod(0o755)

    return make


@pytest.fixture
def slurm() -> Slurm:
    return Slurm(parse_site_config(BUILT_IN, "built in"))


def test_the_states_of_all_arrays_come_from_one_answer(tool, slurm, tmp_path):
    tool("squeue", f'echo "$@" >{tmp_path}/asked; cat {tmp_path}/answer')
    (tmp_path / "answer").write_text(
        "12|4-6%2|PENDING|JobArrayTaskLimit\n12|1|RUNNING|None\n"
        "13|1-2|PENDING|Nodes required for job are DOWN, DRAINED\n"
    )
    down = State("blocked", "Nodes required for job are DOWN, DRAINED")
    assert slurm.states(["12", "13"]) == {
        **{("12", index): State("waiting") for index in (4, 5, 6)},
        ("12", 1): State("running"),
        ("13", 1): down,
        ("13", 2): down,
    }
    assert (tmp_path / "asked").read_text() == "--noheader --jobs=12,13 --format=%F|%K|%T|%r\n"


def test_an_array_that_slurm_has_forgotten_has_ended(tool, slurm):
    tool("squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert slurm.states(["12"]) == {}


RECORDS = """
JobId=31 ArrayJobId=31 ArrayTaskId=4294967294 JobName=x JobState=CANCELLED Reason=None ExitCode=0:0
JobId=34 ArrayJobId=31 ArrayTaskId=3 JobName=x JobState=FAILED Reason=NonZeroExitCode ExitCode=0:9
JobId=33 ArrayJobId=31 ArrayTaskId=2 JobName=x JobState=TIMEOUT Reason=TimeLimit ExitCode=0:15
JobId=32 ArrayJobId=31 ArrayTaskId=1 JobName=x JobState=FAILED Reason=NonZeroExitCode ExitCode=7:0
"""


def test_why_a_task_has_gone_is_read_from_what_slurm_still_knows(tool, slurm, tmp_path):
    tool("scontrol", f"cat <<'END'\n{RECORDS.strip()}\nEND\necho asked >>{tmp_path}/asked")
    assert slurm.why_gone("31", 1) == ("", 7)  # it ended by itself
    assert slurm.why_gone("31", 2).words.startswith("over its time limit")
    assert slurm.why_gone("31", 3) == ("killed (SIGKILL)", 137)
    assert slurm.why_gone("31", 4).words.startswith("cancelled")  # while it waited: Slurm keeps one record for all such
    assert (tmp_path / "asked").read_text() == "asked\n"
    # What was known before the queue was asked again is not relied on.
    tool("squeue", "exit 0")
    slurm.states(["31"])
    slurm.why_gone("31", 1)
    assert (tmp_path / "asked").read_text() == "asked\nasked\n"


def test_a_task_killed_for_its_memory_is_known_by_slurms_own_words(tool, slurm, tmp_path):
    tool("scontrol", f"cat <<'END'\n{RECORDS.strip()}\nEND")
    tool("sbatch", "echo 31")
    (tmp_path / "a/out").mkdir(parents=True)
    assert slurm.submit(tmp_path / "a/x.sh", 3, Job("x", ["true"])) == "31"
    (tmp_path / "a/out/3").write_text(
        "slurmstepd: error: StepId=34.batch exceeded memory limit (333 > 104), being killed\n"
    )
    assert slurm.why_gone("31", 3).words.startswith("out of memory")


def test_the_accounting_is_asked_where_slurm_itself_has_forgotten(tool, slurm, tmp_path):
    tool("scontrol", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    answer = "31_2|COMPLETED|0:0\n31_3|CANCELLED by 1000|0:15\n31_[7-9%2]|CANCELLED|0:0"
    tool("sacct", f"echo asked >>{tmp_path}/asked; echo '{answer}'")
    assert slurm.why_gone("31", 2) == ("", 0)
    assert slurm.why_gone("31", 3).words.startswith("cancelled")
    assert slurm.why_gone("31", 8).words.startswith("cancelled")
    assert slurm.why_gone("31", 5) == ("", None)
    assert (tmp_path / "asked").read_text() == "asked\n"


def test_an_accounting_that_does_not_answer_is_no_queue_that_does_not(tool, slurm):
    tool("scontrol", "exit 1")
    tool("sacct", "echo 'sacct: error: Connection refused' >&2; exit 1")
    assert slurm.why_gone("31", 3) == ("", None)


def test_a_job_is_submitted_once_although_the_first_answer_was_lost(tool, slurm, tmp_path):
    tool(
        "sbatch",
        "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2; exit 1",
    )
    script = tmp_path / "x.abc.1/x.abc.1.sh"
    with pytest.raises(QueueSilent, match="Socket timed out"):
        slurm.submit(script, 3, Job("x", ["true"]))
    tool("squeue", "echo \"$@\" | grep -q name=x.abc.1 && printf '77\\n77\\n'")
    assert slurm.submit(script, 3, Job("x", ["true"])) == "77"


def test_what_is_asked_of_sbatch(tool, slurm, tmp_path, monkeypatch):
    """Folders go by the name that the shell knows: automounters may lack the physical one on other machines."""
    (tmp_path / "100% x").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "100% x")
    monkeypatch.chdir(tmp_path / "linked")
    monkeypatch.setenv("PWD", str(tmp_path / "linked"))
    tool("sbatch", f"printf '%s\\n' \"$@\" >{tmp_path}/asked; echo '31;cluster'")
    job = Job("x", ["true"], "JOB", 1, 9, {"mem": "1.5G", "time": "0:02:00"}, max_jobs_run=4, requeue=True)
    assert slurm.submit(Path("100% q/x.sh"), 9, job) == "31"
    assert (tmp_path / "asked").read_text().splitlines() == [
        "--mem",
        "1536M",
        "--time",
        "0:02:00",
        "--parsable",
        "--array=1-9%4",
        "--job-name=x",
        f"--chdir={tmp_path}/linked",
        f"--output={tmp_path}/linked/100%% q/out/%a",
        "--no-requeue",
        "--signal=B:USR1@30",
        f"{tmp_path}/100% x/100% q/x.sh",
    ]


def test_a_refusal_is_in_slurms_own_words(tool, slurm, tmp_path):
    tool("sbatch", "printf 'sbatch: error: one thing\\nsbatch: error: Batch job submission failed: no\\n' >&2; exit 1")
    with pytest.raises(InputError, match=r"^sbatch refused the job: one thing; Batch job submission failed: no$"):
        slurm.submit(tmp_path / "x.sh", 1, Job("x", ["true"]))


def test_a_limit_on_the_jobs_of_a_user_is_no_refusal(tool, slurm, tmp_path):
    said = "QOSMaxSubmitJobPerUserLimit; Batch job submission failed: Job violates accounting/QOS policy"
    tool("sbatch", f"printf '%s\\n' '{said}' | sed 's/^/sbatch: error: /; s/; /\\nsbatch: error: /' >&2; exit 1")
    with pytest.raises(QueueFull, match=f"^{said}$"):
        slurm.submit(tmp_path / "x.sh", 1, Job("x", ["true"]))


def test_without_slurm_it_is_said_what_is_missing(slurm, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="squeue: no such command; is this a machine from which one submits"):
        slurm.states(["1"])


@pytest.mark.parametrize(
    "config, most",
    [
        ("MaxArraySize            = 1001", 1000),
        ("MaxArraySize            = 1001\nSchedulerParameters     = max_array_tasks=50,bf_interval=2", 50),
        ("nothing", 1000),
    ],
)
def test_the_size_of_an_array_is_that_of_the_site(tool, slurm, config, most):
    tool("scontrol", f"cat <<'END'\n{config}\nEND")
    assert slurm.max_array() == most


def test_what_the_user_has_set_for_the_tools_does_not_change_their_answers(tool, slurm, monkeypatch, tmp_path):
    for name in ("SQUEUE_STATES", "SQUEUE_FORMAT", "SLURM_JOB_ID", "SLURM_CONF"):
        monkeypatch.setenv(name, "x")
    tool("squeue", f"env >{tmp_path}/environment")
    slurm.states(["1"])
    names = {line.partition("=")[0] for line in (tmp_path / "environment").read_text().splitlines()}
    assert {name for name in names if name.startswith(("SQUEUE", "SLURM"))} == {"SLURM_CONF", "SLURM_BITSTR_LEN"}


def test_a_tool_that_hangs_does_not_keep_a_signal_waiting(tool, slurm):
    tool("squeue", "exec sleep 60")
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)  # other threads may not block it
        with pytest.raises(Interrupted):  # and not QueueSilent, 90 seconds later
            slurm.states(["1"])
        assert signal.sigtimedwait({signal.SIGTERM}, 0)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
