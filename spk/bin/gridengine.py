"""Run a command on a GridEngine cluster as the tasks of an array, each with its own log; wait for them all.

Usage: gridengine [options] [JOB=FIRST:LAST] [options] LOG COMMAND [ARGUMENT ...]
  gridengine --mem 4G --max-jobs-run 20 JOB=1:100 log/make.JOB.log python3 -m spk.bin.make --part JOB

JOB (any name will do) stands for the task's number, 1 or more, in LOG and in the words of the command, which is started
as it stands, without a shell. Options (utils/run and the other engines take the same):
  --max-jobs-run N    tasks at once (default: what the cluster gives)
  --num-threads N     slots of each task, in the parallel environment smp
  --mem 4G            memory of each task (K, M, G or T): it goes to a machine that has so much free; no limit
  --gpu N             GPUs of each task; the site's own scripts set CUDA_VISIBLE_DEVICES
  --time 12:00:00     time of each task, which is ended after it
  --nodes 1           a task has one machine here
  --retries N         submit a task that fails again, so many times (default 0)
  --requeue true      submit a task again that was stopped: that ends with status 143, as training does after it has
                      saved a checkpoint, reaches its time limit, or is suspended. It gets SIGTERM as long before its
                      end as the queue's `notify` says.
  --config FILE       how this site wants the options to be asked for, in Kaldi's form (default: conf/gridengine.conf,
                      if any):
                        command qsub -P speech
                        option mem=* -l h_vmem=$0
                        option gpu=* -l gpu=$0 -q gpu.q
                      Options of a name that the file lacks are asked for as -l mem_free=, -pe smp, -l gpu=, -l h_rt=
                      and -tc; a line 'option NAME=* FLAGS' for any other name makes it an option here.
When a task fails, the others are cancelled and the end of its log is shown. Exit status: 0 when all tasks ended well,
else that of the task that failed first; 130 and 143 after Ctrl-C and SIGTERM, which cancel all that was submitted. What
a call that was killed has left in the queue is cancelled when the same job is started again. The queue's files and its
own words on each task are in q/ beside the logs.
"""

from __future__ import annotations

from spk.bin.command import command
from spk.bin.engine_command import run_job
from spk.jobs.gridengine import run


@command
def main() -> None:
    run_job(__doc__, run, site_options=True)


if __name__ == "__main__":
    main()
