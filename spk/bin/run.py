"""Run a command on this machine as tasks, so many at once, each with its own log.

Usage: run [options] [JOB=FIRST:LAST] [options] LOG COMMAND [ARGUMENT ...]
  run JOB=1:8 log/make.JOB.log python3 -m spk.bin.make --part JOB

JOB (any name will do) stands for the task's number, 1 or more, in LOG and in the words of the command, which is started
as it stands, without a shell. Options (the cluster engines take the same):
  --max-jobs-run N    tasks at once (default: as many as the cores, divided by --num-threads, and the memory allow)
  --num-threads N     threads that a task will use (default 1)
  --mem 4G            memory that a task needs (K, M, G or T): so many run at once as fit into this machine's
  --gpu N             GPUs of each task, given to it in CUDA_VISIBLE_DEVICES; where there is no GPU, tasks run without
  --time 12:00:00     accepted, and not enforced here
  --nodes 1           this machine; more is refused
  --retries N         start a task that fails again, so many times (default 0); earlier logs stay as LOG.1, LOG.2, ...
  --requeue true      start a task again that ends with status 143, as training does when SIGTERM had it save and stop
  --config FILE       accepted, and not read here
When a task fails, the others are stopped and the end of its log is shown. A task has 60 seconds to end after Ctrl-C or
SIGTERM (to save a checkpoint), and no more after the second. Exit status: 0 when all tasks ended well,
else that of the task that failed first (128 + n when signal n ended it); 130 and 143 after Ctrl-C and SIGTERM.
"""

from __future__ import annotations

from spk.bin.command import command
from spk.bin.engine_command import run_job
from spk.jobs.local import run


@command
def main() -> None:
    run_job(__doc__, run)


if __name__ == "__main__":
    main()
