"""utils/slurm on a real Slurm cluster: what becomes of tasks that fail, are ended by others, or never begin."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from cluster.slurm_site import ROOT, SCRIPT, SlurmSite, ended, wait_for

# On SIGTERM (also twice) it notes how far it came and ends as a training that has saved a checkpoint; else it goes on
# until told to stop. The second time, it finds the note and ends well.
RESUMABLE = """
trap 'touch saved; exit 143' TERM
if [ -e saved ]; then echo went on; exit 0; fi
touch began
while :; do sleep 0.1; done
"""


# The jobs that wait for Slurm's clock: they begin before all others, and are asked for at the end.
SLOW = ("over_time", "training", "many")


@pytest.fixture(autouse=True)
def nothing_is_left_in_the_queue(slurm):
    yield
    # A controller that was away learns of a task's end after we do.
    for _ in range(900):
        left = [row for row in slurm.queue(but=SLOW) if not row.endswith("COMPLETING")]
        if not left:
            return
        time.sleep(0.1)
    slurm.tool("scancel", *(row.split()[0] for row in left))
    assert not left


def log_lines(path: Path) -> list[str]:
    """What the command wrote: the log without its head and foot."""
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


class Slow:
    def __init__(self, slurm: SlurmSite, folder: Path) -> None:
        self.slurm, self.folder = slurm, folder
        script = folder / "resumable.sh"
        script.write_text(RESUMABLE)
        self.over_time = slurm.start("--time", "0:01:00", "log/over_time.log", "bash", "-c", "sleep 600", cwd=folder)
        self.requeued = slurm.start(
            "--requeue", "true", "--time", "0:01:00", "log/training.log", "bash", script, cwd=folder
        )
        for name in SLOW[:2]:
            slurm.await_queue(name, "RUNNING")
        code = 'read -r a _ </proc/uptime; echo "SPAN $a"; read -r b _ </proc/uptime; echo "SPAN $b"'
        words = ["--mem", "100M", "--max-jobs-run", "4", "JOB=1:120", "log/many.JOB.log", "bash", "-c", code]
        self.many = slurm.start(*words, cwd=folder)


@pytest.fixture(scope="module", autouse=True)
def slow(slurm, tmp_path_factory):
    slow = Slow(slurm, tmp_path_factory.mktemp("slow"))
    yield slow
    for process in (slow.over_time, slow.requeued, slow.many):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        ended(process)


def test_all_tasks_run_and_their_logs_have_the_form_of_utils_run(slurm, tmp_path):
    command = ["sh", "-c", "echo part JOB of $PWD"]
    status, said = slurm.run("--mem", "1.5G", "JOB=3:5", "log/x.JOB.log", *command, cwd=tmp_path)
    assert (status, said) == (0, "")
    subprocess.run([ROOT / "utils" / "run", "JOB=3:5", "local/x.JOB.log", *command], cwd=tmp_path, check=True)
    for task in (3, 4, 5):
        assert log_lines(tmp_path / f"log/x.{task}.log") == [f"part {task} of {tmp_path}"]
        both = [(tmp_path / folder / f"x.{task}.log").read_text().splitlines() for folder in ("log", "local")]
        timeless = [[re.sub(r"( at |time=|time ).*", "", line) for line in lines] for lines in both]
        assert timeless[0] == timeless[1]
    assert sorted(path.name for path in (tmp_path / "log").iterdir()) == [f"x.{task}.log" for task in (3, 4, 5)]


def test_words_and_folders_with_blanks_quotes_and_newlines_arrive_unchanged(slurm, tmp_path):
    folder = tmp_path / "a folder, 100% 'odd' $HOME"
    folder.mkdir()
    words = ["a b", "", "$(touch pwned)", "`id`", "'", '"', "\\", "*", "two\nlines", "é", "%a %%", "--mem"]
    status, said = slurm.run("log of it/x.log", "printf", "<%s>", *words, cwd=folder)
    assert (status, said) == (0, "")
    assert "".join(f"<{word}>" for word in words) in (folder / "log of it/x.log").read_text()
    assert not (folder / "pwned").exists()


def test_a_task_that_fails_fails_the_job_with_its_status_and_the_end_of_its_log(slurm, tmp_path):
    command = ["bash", "-c", "[ JOB = 1 ] && sleep 60; [ JOB = 2 ] && { echo the reason; exit 3; }; exit 0"]
    status, said = slurm.run("JOB=1:3", "log/x.JOB.log", *command, cwd=tmp_path)
    assert status == 3
    assert "slurm: task 2 of 3 failed with status 3; its log: log/x.2.log\n" in said
    # Task 3 may have ended by then, or not.
    assert re.search(r"^slurm: [12] stopped, 0 not begun; the end of log/x.2.log:$", said, re.MULTILINE)
    assert "  the reason\n" in said


@pytest.mark.parametrize("status", [99, 100, 143, 255])
def test_no_status_has_a_meaning_of_its_own(slurm, tmp_path, status):
    assert slurm.run("log/x.log", "sh", "-c", f"exit {status}", cwd=tmp_path)[0] == status


def test_a_command_that_does_not_exist_is_named(slurm, tmp_path):
    status, said = slurm.run("log/x.log", "no-such-program", cwd=tmp_path)
    assert status == 127
    assert "no-such-program: no such command" in said


def test_a_command_that_is_killed(slurm, tmp_path):
    status, said = slurm.run("log/x.log", "sh", "-c", "kill -9 $$", cwd=tmp_path)
    assert status == 137
    assert "sh failed with status 137 (SIGKILL)" in said


def test_a_task_that_is_killed_with_all_around_it(slurm, tmp_path):
    status, said = slurm.run("log/x.log", "sh", "-c", "sleep 0.2; kill -9 $PPID; sleep 20; touch lived", cwd=tmp_path)
    assert status == 137
    assert "sh failed with status 137: killed (SIGKILL); its log: log/x.log" in said
    time.sleep(0.5)
    assert not subprocess.run(["pgrep", "-f", "sleep 0.2; kill -9 .PPID; sleep 20"], capture_output=True).stdout


def test_a_task_over_its_memory(slurm, tmp_path):
    code = "import time; x = bytearray(400 * 2**20); time.sleep(60)"
    status, said = slurm.run("--mem", "100M", "log/x.log", "python3", "-c", code, cwd=tmp_path)
    assert status == 137
    assert "python3 failed with status 137: out of memory (OUT_OF_MEMORY); ask for more with --mem" in said
    assert "exceeded memory limit" in said  # slurmd's own words, from its output


def test_a_job_that_somebody_cancels_while_it_runs_is_neither_retried_nor_requeued(slurm, tmp_path):
    words = ["--retries", "3", "--requeue", "true", "JOB=1:2", "log/mine.JOB.log", "sleep", "60"]
    process = slurm.start(*words, cwd=tmp_path)
    wait_for((tmp_path / "log/mine.1.log").exists)
    slurm.tool("scancel", slurm.await_queue("mine", "RUNNING"))
    status, said = ended(process)
    assert status == 143
    assert "failed with status 143 (SIGTERM): cancelled by scancel or an administrator" in said


@pytest.mark.parametrize(
    "words, reason", [(["--nodes", "3"], "PartitionNodeLimit"), (["--time", "9:00:00"], "PartitionTimeLimit")]
)
def test_what_a_partition_lacks_is_said_and_waited_for(slurm, tmp_path, words, reason):
    """Nodes that are down are the cause at times; somebody may mend them."""
    slurm.tool("scontrol", "update", "partitionname=main", "maxtime=8:00:00")
    process = slurm.start(*words, "log/x.log", "true", cwd=tmp_path)
    try:
        assert f"waits: {reason}" in process.stderr.readline()
    finally:
        slurm.tool("scontrol", "update", "partitionname=main", "maxtime=UNLIMITED")
        process.terminate()
    assert ended(process)[0] == 143


def test_a_task_that_is_suspended_is_said_and_goes_on(slurm, tmp_path):
    process = slurm.start("log/mine.log", "sleep", "4", cwd=tmp_path)
    wait_for((tmp_path / "log/mine.log").exists)
    id = slurm.await_queue("mine", "RUNNING")
    slurm.tool("scontrol", "suspend", id)
    try:
        assert "a task that had begun is suspended (SUSPENDED)" in process.stderr.readline()
    finally:
        slurm.tool("scontrol", "resume", id)
    assert ended(process) == (0, "")


def test_a_site_that_hands_on_nothing_but_path(slurm, tmp_path, monkeypatch):
    """Kaldi's own line. What the script exports reaches the commands, on several nodes too."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/slurm.conf").write_text("command sbatch --export=PATH\n")
    monkeypatch.setitem(slurm.environment, "SPK_WORD", "a b")
    monkeypatch.setitem(slurm.environment, "OMP_NUM_THREADS", "7")
    command = ["python3", "-c", "import os, spk; print(os.environ['SPK_WORD'], os.environ['OMP_NUM_THREADS'])"]
    assert slurm.run("log/one.log", *command, cwd=tmp_path) == (0, "")
    assert slurm.run("--nodes", "2", "--num-threads", "2", "log/two.log", *command, cwd=tmp_path) == (0, "")
    assert log_lines(tmp_path / "log/one.log") == ["a b 7"]
    assert log_lines(tmp_path / "log/two.log") == ["a b 2", "a b 2"]


def test_a_drained_node_is_said_and_waited_for_and_a_job_that_is_cancelled_while_it_waits_fails(slurm, tmp_path):
    """`sbatch --wait` would return 0 for the second."""
    slurm.tool("scontrol", "update", "nodename=n1,n2", "state=drain", "reason=a test")
    try:
        waiting = slurm.start("JOB=1:2", "log/waiting.JOB.log", "true", cwd=tmp_path)
        doomed = slurm.start("JOB=1:7", "log/doomed.JOB.log", "true", cwd=tmp_path)
        line = waiting.stderr.readline()
        assert " of 2 tasks waits: " in line and ("DRAINED" in line or "ReqNodeNotAvail" in line)
        slurm.tool("scancel", slurm.await_queue("doomed", "PENDING"))
        status, said = ended(doomed)
    finally:
        slurm.tool("scontrol", "update", "nodename=n1,n2", "state=resume")
    assert status == 143
    assert "task 1 of 7 failed with status 143: cancelled by scancel or an administrator; it has no log" in said
    assert "2 more failed: tasks 6-7" in said
    assert ended(waiting) == (0, "")


@pytest.mark.parametrize(
    "words, message",
    [
        (["--mem", "99G"], "sbatch refused the job: Memory specification can not be satisfied"),
        (["--gpu", "3"], "sbatch refused the job: Batch job submission failed: Requested node configuration"),
        (["--partition", "nowhere"], "invalid partition specified: nowhere"),
        (["--colour", "red"], "--colour red: no line 'option colour=*' in conf/slurm.conf; did you mean"),
    ],
)
def test_a_request_that_can_never_run_fails_with_slurms_own_words(slurm, tmp_path, words, message):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/slurm.conf").write_text("option partition=* --partition $0\noption color=* --comment $0\n")
    status, said = slurm.run(*words, "log/x.log", "true", cwd=tmp_path)
    assert status == 1
    assert message in said


def test_a_user_who_may_not_submit_is_told_so_by_slurm(slurm, tmp_path_factory):
    folder = slurm.folder / "of_nobody"
    folder.mkdir()
    shutil.chown(folder, "nobody")
    (folder / "slurm.conf").write_text("command sbatch --partition closed\n")
    command = ["runuser", "-u", "nobody", "--", ROOT / "utils/slurm", "--config", "slurm.conf", "log/x.log", "true"]
    done = subprocess.run(command, cwd=folder, env=slurm.environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    assert "slurm: error: sbatch refused the job" in done.stderr
    assert "not permitted" in done.stderr or "Access" in done.stderr or "denied" in done.stderr


@pytest.mark.parametrize("signum, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_cancels_what_was_submitted(slurm, tmp_path, signum, status):
    process = slurm.start("--max-jobs-run", "2", "JOB=1:5", "log/mine.JOB.log", "sleep", "60", cwd=tmp_path)
    wait_for(lambda: (tmp_path / "log/mine.1.log").exists() and (tmp_path / "log/mine.2.log").exists())
    os.killpg(process.pid, signum)
    returned, said = ended(process)
    assert returned == status
    assert f"slurm: ended by {signum.name}; 2 stopped, 3 not begun" in said
    assert slurm.queue("mine") == []


def test_what_a_killed_call_left_in_the_queue_is_cancelled_by_the_next(slurm, tmp_path):
    process = slurm.start("JOB=1:2", "log/mine.JOB.log", "sh", "-c", "sleep 60; echo old", cwd=tmp_path)
    id = slurm.await_queue("mine", "RUNNING")
    os.killpg(process.pid, signal.SIGKILL)
    ended(process)
    assert slurm.queue("mine")
    status, said = slurm.run("JOB=1:2", "log/mine.JOB.log", "echo", "new", cwd=tmp_path)
    assert (status, said) == (0, f"slurm: cancelling what an earlier call of this job left in the queue: {id}\n")
    assert slurm.queue("mine") == []
    assert log_lines(tmp_path / "log/mine.1.log") == ["new"]


def test_two_calls_of_one_job_do_not_write_the_same_logs(slurm, tmp_path):
    process = slurm.start("log/mine.log", "sleep", "60", cwd=tmp_path)
    slurm.await_queue("mine", "RUNNING")
    status, said = slurm.run("log/mine.log", "true", cwd=tmp_path)
    assert status == 1
    assert f"log/mine.log: process {process.pid} on " in said and "runs this very job" in said
    process.terminate()
    assert ended(process)[0] == 143


def test_only_what_failed_is_submitted_again(slurm, tmp_path):
    code = "echo attempt >>ran.JOB; [ JOB != 2 ] || [ $(wc -l <ran.JOB) = 3 ] || { echo not yet; exit 5; }"
    status, said = slurm.run("--retries", "2", "JOB=1:3", "log/x.JOB.log", "bash", "-c", code, cwd=tmp_path)
    assert status == 0
    for attempt, line in enumerate(said.splitlines(), start=1):
        assert line.startswith(f"slurm: task 2 of 3 ended with status 5; started again (retry {attempt} of 2)")
        assert line.endswith(f"what it said: log/x.2.log.{attempt}")
    assert attempt == 2
    assert [len((tmp_path / f"ran.{task}").read_text().splitlines()) for task in (1, 2, 3)] == [1, 3, 1]
    assert log_lines(tmp_path / "log/x.2.log.1") == ["not yet"]


def test_a_task_that_ends_with_143_is_submitted_again_with_requeue(slurm, tmp_path):
    code = "[ -e saved ] || { touch saved; exit 143; }; echo went on"
    status, said = slurm.run("--requeue", "true", "log/x.log", "bash", "-c", code, cwd=tmp_path)
    assert (status, said.count("started again (requeue 1)")) == (0, 1)
    assert log_lines(tmp_path / "log/x.log") == ["went on"]


def test_an_array_above_the_sites_limit_is_cut_into_several(slurm, tmp_path):
    configuration = Path(slurm.environment["SLURM_CONF"])
    whole = configuration.read_text()
    configuration.write_text(whole.replace("SchedulerParameters=", "SchedulerParameters=max_array_tasks=3,"))
    slurm.tool("scontrol", "reconfigure")
    try:
        status, said = slurm.run("TASK=1:8", "log/x.TASK.log", "sh", "-c", "echo $SLURM_ARRAY_JOB_ID", cwd=tmp_path)
    finally:
        configuration.write_text(whole)
        slurm.tool("scontrol", "reconfigure")
    assert (status, said) == (0, "")
    ids = [log_lines(tmp_path / f"log/x.{task}.log")[0] for task in range(1, 9)]
    assert [ids.count(id) for id in dict.fromkeys(ids)] == [3, 3, 2]


def test_a_task_finds_its_gpus(slurm, tmp_path):
    command = ["sh", "-c", "echo GPU $CUDA_VISIBLE_DEVICES"]
    assert slurm.run("--gpu", "1", "log/one.log", *command, cwd=tmp_path) == (0, "")
    assert slurm.run("--gpu", "2", "log/two.log", *command, cwd=tmp_path) == (0, "")
    assert log_lines(tmp_path / "log/one.log")[0] in ("GPU 0", "GPU 1")
    assert log_lines(tmp_path / "log/two.log") == ["GPU 0,1"]


@pytest.mark.parametrize("num_nodes", [1, 2])
def test_a_command_is_started_once_on_each_node(slurm, tmp_path, num_nodes):
    code = "echo $SPK_NODE_RANK of $SPK_NUM_NODES, $SPK_MASTER:$SPK_MASTER_PORT, on $SLURMD_NODENAME 'a b'"
    assert slurm.run("--nodes", num_nodes, "log/x.log", "sh", "-c", code, cwd=tmp_path) == (0, "")
    lines = sorted(line.split(", ") for line in log_lines(tmp_path / "log/x.log"))
    assert [rank for rank, _, _ in lines] == [f"{rank} of {num_nodes}" for rank in range(num_nodes)]
    assert len({node for _, _, node in lines}) == num_nodes
    host, port = lines[0][1].split(":")
    assert host == os.uname().nodename and int(port) > 1023
    assert len({master for _, master, _ in lines}) == 1


def test_a_node_that_fails_ends_the_command_on_the_other(slurm, tmp_path):
    code = "[ $SPK_NODE_RANK = 0 ] || exit 7; sleep 600"
    assert slurm.run("--requeue", "true", "--nodes", "2", "log/x.log", "sh", "-c", code, cwd=tmp_path)[0] == 7


def test_commands_on_several_nodes_are_told_to_stop_and_go_on_in_a_new_job(slurm, tmp_path):
    """The warning before a time limit, sent by hand: it reaches the script alone."""
    (tmp_path / "resumable.sh").write_text(
        RESUMABLE.replace("saved", "saved.$SPK_NODE_RANK").replace("began", "began.$SPK_NODE_RANK")
    )
    words = ["--nodes", "2", "--requeue", "true", "log/mine.log", "bash", "resumable.sh"]
    process = slurm.start(*words, cwd=tmp_path)
    wait_for(lambda: (tmp_path / "began.0").exists() and (tmp_path / "began.1").exists())
    slurm.tool("scancel", "--batch", "--signal=USR1", slurm.await_queue("mine", "RUNNING"))
    status, said = ended(process)
    assert status == 0, said
    assert "ended with status 143; started again (requeue 1)" in said
    assert log_lines(tmp_path / "log/mine.log") == ["went on", "went on"]


def test_a_time_limit_ends_a_task_and_is_named(slow):
    status, said = ended(slow.over_time, 150)
    assert status == 143
    # bash may die of the signal, or end with 143 because its child did.
    words = said.replace(" (SIGTERM)", "")
    assert "bash failed with status 143: over its time limit (TIMEOUT); ask for more with --time" in words


def test_a_task_is_warned_before_its_time_limit_and_goes_on_in_a_new_job(slow):
    status, said = ended(slow.requeued, 150)
    assert status == 0
    assert "ended with status 143; started again (requeue 1)" in said
    assert (slow.folder / "saved").exists()
    assert log_lines(slow.folder / "log/training.log") == ["went on"]


def test_a_controller_that_is_away_is_waited_for(slurm, tmp_path):
    slurm.control("stop-controller")
    try:
        process = slurm.start("log/mine.log", "sleep", "6", cwd=tmp_path)
        assert "slurm: the queue does not answer, waiting for it: " in process.stderr.readline()
    finally:
        slurm.control("start-controller")
    assert "slurm: the queue answers again, after " in process.stderr.readline()
    wait_for((tmp_path / "log/mine.log").exists)
    slurm.control("stop-controller")
    try:
        # Before, it may say that the machines had not yet answered the controller.
        assert any("the queue does not answer" in line for line in process.stderr)
    finally:
        slurm.control("start-controller")
    assert ended(process)[0] == 0


def test_no_more_tasks_run_at_once_than_asked_of_120(slow):
    """Each task writes when it began and ended; a sweep over these times counts how many ran at once."""
    status, said = ended(slow.many, 300)
    assert status == 0, said
    events = []
    for task in range(1, 121):
        start, end = (float(line.split()[1]) for line in log_lines(slow.folder / f"log/many.{task}.log"))
        events += [(start, 1), (end + 0.001, -1)]
    running = most = 0
    for _, change in sorted(events):
        running += change
        most = max(most, running)
    assert 1 <= most <= 4


def test_the_cluster_of_a_process_that_was_killed_is_taken_down(tmp_path):
    process = subprocess.Popen(["sleep", "600"])
    folder = tmp_path / "cluster"
    subprocess.run([SCRIPT, "start", folder, str(process.pid)], check=True, timeout=60)
    daemons = [int((folder / f"{name}.pid").read_text()) for name in ("munged", "slurmctld", "slurmd.n1", "slurmd.n2")]
    commands = [Path(f"/proc/{pid}/cmdline") for pid in daemons]
    assert all(str(folder) in command.read_text() for command in commands)
    process.kill()
    process.wait()
    wait_for(lambda: not folder.exists())
    assert not [command for command in commands if command.exists() and str(folder) in command.read_text()]
