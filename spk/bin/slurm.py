"""Run a command on a Slurm cluster as the tasks of an array, each with its own log; wait for them all.

Usage: slurm [options] [JOB=FIRST:LAST] [options] LOG COMMAND [ARGUMENT ...]
  slurm --mem 4G --max-jobs-run 20 JOB=1:100 log/make.JOB.log python3 -m spk.bin.make --part JOB

JOB (any name will do) stands for the task's number, 1 or more, in LOG and in the words of the command, which is started
as it stands, without a shell. Options (utils/run and the other engines take the same):
  --max-jobs-run N    tasks at once (default: what the cluster gives)
  --num-threads N     cores of each task
  --mem 4G            memory of each task (K, M, G or T)
  --gpu N             GPUs of each task, which finds them in CUDA_VISIBLE_DEVICES
  --time 12:00:00     time of each task
  --nodes N           start the command once on each of N machines, with SPK_NUM_NODES, SPK_NODE_RANK, SPK_MASTER and
                      SPK_MASTER_PORT in its environment
  --retries N         submit a task that fails again, so many times (default 0)
  --requeue true      submit a task again that was stopped: that ends with status 143, as training does after it saved a
                      checkpoint, reaches its time limit, or is preempted. A minute before its limit it gets SIGTERM.
  --config FILE       how this site wants the options to be asked for, in Kaldi's form (default: conf/slurm.conf, if it
                      is there):
                        command sbatch --partition cpu
                        option gpu=* --partition gpu --gres gpu:$0
                      Options of a name that the file lacks are asked for as sbatch's own: mem=* --mem $0, and so on; a
                      line 'option NAME=* FLAGS' for any other name makes it an option here.
When a task fails, the others are cancelled and the end of its log is shown. Exit status: 0 when all tasks ended well,
else that of the task that failed first; 130 and 143 after Ctrl-C and SIGTERM, which cancel all that was submitted. What
a call that was killed has left in the queue is cancelled when the same job is started again. The queue's files and its
own words on each task are in q/ beside the logs.
"""

from __future__ import annotations

from spk.bin.command import command
from spk.bin.engine_command import run_job
from spk.jobs.slurm import run


@command
def main() -> None:
    run_job(__doc__, run, site_options=True)


if __name__ == "__main__":
    main()
