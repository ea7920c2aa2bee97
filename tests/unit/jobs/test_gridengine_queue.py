"""What a GridEngine 8.1.9 printed, and what it means; how often it is asked."""

from __future__ import annotations

import math
import os

import pytest

from spk.errors import InputError
from spk.jobs.gridengine import BUILT_IN, GridEngine
from spk.jobs.gridengine_queue import (
    error_reasons,
    jobs_named,
    number_of_bytes,
    read_accounts,
    read_instances,
    read_jobs,
    read_tasks,
    status_ended,
    why_ended,
)
from spk.jobs.site_config import parse_site_config

QSTAT = """\
job-ID  prior   name       user         state submit/start at     queue                          slots ja-task-ID 
-----------------------------------------------------------------------------------------------------------------
     37 0.75000 d1         root         dr    11/21/2026 21:16:29 all.q@vm                           1        
     41 0.25000 d5         root         r     11/21/2026 21:16:30 all.q@vm                           1 2
     10 0.50000 no folder  root         Eqw   11/21/2026 21:10:50                                    1        
      8 0.00000 held       root         hqw   11/21/2026 21:10:49                                    1 1,2,10-12:1
"""  # noqa: W291


def test_every_task_of_qstat_has_its_letters():
    assert list(read_jobs(QSTAT)) == [
        ("37", 1, "dr"),
        ("41", 2, "r"),
        ("10", 1, "Eqw"),
        *(("8", task, "hqw") for task in (1, 2, 10, 11, 12)),
    ]
    assert list(read_tasks("1,3,10-14:2")) == [1, 3, 10, 12, 14]


def test_a_job_is_found_by_its_full_name():
    text = QSTAT.replace(
        "all.q@vm                           1 2\n", "all.q@vm  1 2\n       Full jobname:     d5.long.name\n"
    )
    assert jobs_named(text, "d5.long.name") == ["41"]
    assert jobs_named(text, "d5") == []


def test_the_reason_of_an_error_is_told_for_each_task():
    text = (
        "job_number:                 10\n"
        "error reason          1:      11/21/2026 21:10:50 [0:13451]: error: can't chdir to /x: No such file\n"
        'error reason         12:      11/21/2026 21:12:29 [0:16371]: unable to find prolog file "/x"\n'
        "scheduling info:            Job is in error state\n"
    )
    assert error_reasons(text) == {
        1: "can't chdir to /x: No such file",
        12: 'unable to find prolog file "/x"',
    }


def test_a_queue_that_starts_nothing_says_why():
    text = """\
queuename                      qtype resv/used/tot. load_avg arch          states
---------------------------------------------------------------------------------
all.q@vm                       BIP   0/0/8          0.72     lx-amd64      E
\tqueue all.q marked QERROR as result of job 28's failure at host vm
---------------------------------------------------------------------------------
all.q@full                     BIP   0/8/8          9.72     lx-amd64      a
---------------------------------------------------------------------------------
all.q@away                     BIP   0/0/8          -NA-     -NA-          adu

############################################################################
 - PENDING JOBS - PENDING JOBS - PENDING JOBS - PENDING JOBS - PENDING JOBS
############################################################################
     28 0.50000 breaks     root         qw    11/21/2026 21:12:28     1        
"""  # noqa: W291
    closed = {name: instance.closed for name, instance in read_instances(text).items()}
    assert closed == {
        "all.q@vm": "in error (queue all.q marked QERROR as result of job 28's failure at host vm)",
        "all.q@full": "",
        "all.q@away": "disabled and unreachable",
    }


def account(failed: str, status: str = "0", category: str = "NONE", maxvmem: str = "8.887MB", seconds: int = 4) -> str:
    lines = [
        "==============================================================",
        "qname        all.q               ",
        "taskid       3                   ",
        f"failed       {failed}",
        f"exit_status  {status}",
        f"ru_wallclock {seconds}s",
        "slots        2                   ",
        f"maxvmem      {maxvmem}",
        f"category     {category}",
    ]
    return "\n".join(lines) + "\n"


LIMIT = "37  : qmaster enforced h_rt, h_cpu, or h_vmem limit"


@pytest.mark.parametrize(
    ("record", "signalled", "beginning"),
    [
        (account(LIMIT, "143                  (Terminated)", "-l h_rt=4"), "SIGUSR2", "over its time limit"),
        (
            account(LIMIT, "137", "-l h_rt=90,h_vmem=500M", "1.100GB"),
            "",
            "out of memory: it took 1.100GB of h_vmem=500M",
        ),
        (account(LIMIT, "137", "-l h_vmem=500M", "0.900GB"), "", "over its time limit"),  # 500M for each of 2 slots
        (account("0    ", "143                  (Terminated)"), "SIGUSR2", "cancelled"),
        (account("0    ", "143", "-l h_rt=4,s_rt=2"), "SIGUSR1", "over its time limit s_rt=2"),
        (account("0    ", "143"), "SIGUSR1", "preempted"),
        (account("100 : assumedly after job", "137                  (Killed)"), "", "killed (exit status 137)"),
        (account("26  : opening input/output file"), "", "exit status 0; opening input/output file"),
    ],
)
def test_what_ended_a_task_by_its_record(record, signalled, beginning):
    assert why_ended(read_accounts(record)[3], signalled).startswith(beginning)


def test_of_a_task_with_several_records_the_last_counts():
    text = (
        account("26  : x") + account("0    ", "7") + account("0    ", "8").replace("taskid       3", "taskid       12")
    )
    accounts = read_accounts(text)
    assert {task: record["exit_status"] for task, record in accounts.items()} == {3: "7", 12: "8"}


def test_no_record_is_no_account():
    assert read_accounts("") == {}
    assert status_ended({}) is None
    assert why_ended(read_accounts(account("0    "))[3], "") == ""


@pytest.mark.parametrize(
    ("failed", "exit_status", "status"),
    [("0", "3", 3), ("100 : assumedly after job", "137   (Killed)", 137), (LIMIT, "143", None), ("26  : x", "0", None)],
)
def test_the_status_of_a_script_is_that_of_its_record(failed, exit_status, status):
    assert status_ended(read_accounts(account(failed, exit_status))[3]) == status


def test_bytes_as_gridengine_counts_them():
    assert [number_of_bytes(text) for text in ("12", "1.5K", "2G", "3k")] == [12, 1536, 2 * 2**30, 3000]
    assert number_of_bytes("INFINITY") == math.inf


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """`tool("qacct", "echo x")` puts a tool of that name before all others."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def make(name: str, code: str) -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\n{code}\n")
        (tmp_path / name).chmod(0o755)

    return make


@pytest.fixture
def gridengine() -> GridEngine:
    return GridEngine(parse_site_config(BUILT_IN, "built in"))


def test_the_accounting_is_asked_once_for_all_tasks_that_have_gone(tool, gridengine, tmp_path):
    records = account("100 : x", "137 (Killed)") + account("0    ", "5").replace("taskid       3", "taskid       4")
    tool("qacct", f"echo \"$@\" >>{tmp_path}/asked; cat <<'END'\n{records}END")
    tool("qstat", "exit 0")
    gridengine.folders["31"] = tmp_path
    assert gridengine.why_gone("31", 3) == ("killed (exit status 137)", 137)
    assert gridengine.why_gone("31", 4) == ("exit status 5", 5)
    assert gridengine.why_gone("31", 5) == ("", None)
    assert (tmp_path / "asked").read_text() == "-j 31\n"
    # What was known before the queue was asked again is not relied on.
    assert gridengine.states(["31"]) == {}
    gridengine.why_gone("31", 5)
    assert (tmp_path / "asked").read_text() == "-j 31\n-j 31\n"


def test_a_record_that_is_yet_to_come_is_asked_for_again(tool, gridengine, tmp_path):
    (tmp_path / "done").mkdir()
    (tmp_path / "done/3").write_text('{"signalled": "SIGUSR2"}')
    gridengine.folders["31"] = tmp_path
    tool("qacct", "echo 'error: job id 31 not found' >&2; exit 1")
    assert gridengine.why_gone("31", 3) is None
    gridengine.accounted.clear()
    tool("qacct", "echo '/x/accounting: No such file or directory' >&2; exit 1")
    assert gridengine.why_gone("31", 3).words == "cancelled by qdel"


def test_what_qstat_refuses_at_the_beginning_is_an_error_and_no_silence(tool, gridengine):
    tool("qstat", "echo 'error: ERROR! no such thing'; exit 1")
    with pytest.raises(InputError, match=r"^qstat failed: ERROR! no such thing$"):
        gridengine.find("x")


def test_running_tasks_of_which_nothing_is_heard_are_pointed_out(tool, gridengine):
    line = "     41 0.25000 d5         root         {}     11/21/2026 21:16:30 all.q@vm             1 {}"
    rows = [line.format(*pair) for pair in (("r", 1), ("r", 2), ("s", 3), ("T", 4), ("t", 5))]
    tool("qstat", "case $* in *'-qs u') echo '{}' ;; *) echo '{}' ;; esac".format(rows[1], "\n".join(rows)))
    states = gridengine.states(["41"])
    assert [states["41", task].kind for task in (1, 2, 3, 4, 5)] == [
        "running",
        "blocked",
        "blocked",
        "blocked",
        "running",
    ]
    assert "does not answer GridEngine" in states["41", 2].reason
    assert states["41", 3].reason == "a task that had begun is suspended (s)"
