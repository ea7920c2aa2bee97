# shellcheck shell=bash disable=SC2034 # run.sh uses them
# Who runs the jobs: the only place that knows this machine or cluster. Choose one, or say it for one run with --cmd.
#
# On this machine (utils/run --help). It takes no more memory than there is, and gives each job its GPU.
cpu_cmd="run --mem 4G"
gpu_cmd="run --mem 16G"
# On a cluster, by a wrapper with Kaldi's interface (options, JOB=1:N, a log file, the command), for instance Kaldi's own
# when they and their conf/slurm.conf or conf/queue.conf are on PATH:
#   Slurm
# cpu_cmd="slurm.pl --mem 4G"
# gpu_cmd="slurm.pl --mem 16G --num-threads 8"
#   GridEngine
# cpu_cmd="queue.pl --mem 4G"
# gpu_cmd="queue.pl --mem 16G --num-threads 8"
