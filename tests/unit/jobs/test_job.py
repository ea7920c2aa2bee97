"""What stands before the command: options in any order, the range of tasks, the log."""

from __future__ import annotations

import pytest

from spk.errors import InputError
from spk.jobs.job import parse_job


@pytest.mark.parametrize(
    "line",
    [
        "--mem 4G --max-jobs-run 3 JOB=1:8 log/x.JOB.log make --part JOB",
        "JOB=1:8 --mem 4G --max-jobs-run 3 log/x.JOB.log make --part JOB",
        "--max-jobs-run=3 JOB=1:8 --mem=4G log/x.JOB.log make --part JOB",
    ],
)
def test_options_stand_before_or_after_the_range(line):
    job = parse_job(line.split())
    assert list(job.tasks) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert job.log_of(7) == "log/x.7.log"
    assert job.argv_of(7) == ["make", "--part", "7"]
    assert dict(job.resources) == {"mem": "4G"}
    assert job.max_jobs_run == 3


def test_words_after_the_log_belong_to_the_command():
    job = parse_job(["log/x.log", "make", "--mem", "lots", "JOB=0:x", "$(touch x)", "", "a b"])
    assert job.argv_of(1) == ["make", "--mem", "lots", "JOB=0:x", "$(touch x)", "", "a b"]
    assert list(job.tasks) == [1]


def test_any_name_and_any_single_number_will_do():
    job = parse_job(["part=12", "log/x.log", "make", "split20/part/wav.scp"])
    assert list(job.tasks) == [12]
    assert job.argv_of(12) == ["make", "split20/12/wav.scp"]


@pytest.mark.parametrize(
    "line, message",
    [
        ("JOB=1:3 log/x.log make", "put JOB into its name"),
        ("JOB=0:3 log/JOB make", "JOB=0:3: a range of tasks begins at 1"),
        ("JOB=5:3 log/JOB make", "JOB=5:3: a range of tasks"),
        ("JOB=1: log/JOB make", "JOB=1:: not a range of tasks; write JOB=1:8"),
        ("JOB=1:x log/JOB make", "JOB=1:x: not a range"),
        ("JOB= log/JOB make", "JOB=: not a range"),
        ("--meme 4G log/x make", "unknown option --meme; did you mean '--mem'?"),
        ("--mem 4 log/x make", "--mem '4': this is memory of a task, as 4G"),
        ("--num-threads 0 log/x make", "--num-threads '0'"),
        ("--max-jobs-run -1 log/x make", "--max-jobs-run '-1'"),
        ("--time 3 log/x make", "--time '3'"),
        ("--nodes 0 log/x make", "--nodes '0'"),
        ("--retries -1 log/x make", "--retries '-1'"),
        ("--requeue yes log/x make", "--requeue 'yes': this is true or false"),
        ("-p gpu log/x.log make", "-p: options have two dashes, as --mem 4G"),
        ("--gpu", "option --gpu needs a value"),
        ("JOB=1:3 log/x.JOB.log", "needs a log file and a command"),
        ("", "needs a log file and a command"),
    ],
)
def test_a_mistake_is_named(line, message):
    with pytest.raises(InputError) as error:
        parse_job(line.split())
    assert message in str(error.value)


def test_what_the_engines_themselves_see_to_is_no_resource():
    words = ["--retries", "2", "--requeue", "true", "--config", "conf/x.conf", "--nodes", "3", "log/x", "make"]
    job = parse_job(words)
    assert (job.retries, job.requeue, job.config) == (2, True, "conf/x.conf")
    assert dict(job.resources) == {"nodes": "3"}
    job = parse_job(["log/x", "make"])
    assert (job.retries, job.requeue, job.config, job.max_jobs_run) == (0, False, None, None)


def test_an_engine_may_have_options_of_its_sites_own():
    job = parse_job(["--partition", "big one", "--mem", "4G", "log/x", "make"], site_options=True)
    assert dict(job.resources) == {"partition": "big one", "mem": "4G"}


def test_a_variable_within_a_longer_name_is_pointed_out(capsys):
    assert parse_job(["JOB=1:2", "log/SRE_JOB", "ls", "/JOBS/JOB", "$SLURM_JOB_ID"]).argv_of(2)[1] == "/2S/2"
    said = capsys.readouterr().err.splitlines()
    assert [line.split("'")[1] for line in said] == ["JOBS", "SLURM_JOB_ID"]
    assert "for another name write TASK=1:N instead of JOB=1:N" in said[0]


def test_words_that_only_a_shell_understands_are_pointed_out(capsys):
    assert parse_job(["log/x", "make", "|", "sort"]).argv_of(1) == ["make", "|", "sort"]
    assert "'|' is handed to make as it is" in capsys.readouterr().err
