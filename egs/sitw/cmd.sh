# shellcheck shell=bash disable=SC2034 # run.sh uses them
# Who runs the jobs: the only place that knows this machine or cluster. Choose one, or say it for one run with --cmd.
#
# On this machine (utils/run --help). It takes no more memory than there is, and gives each job its GPU.
cpu_cmd="run --mem 4G"
gpu_cmd="run --mem 16G"
# On a cluster (docs/clusters.md). Its partitions, queues and projects go into conf/slurm.conf or conf/gridengine.conf.
#   Slurm (utils/slurm --help)
# cpu_cmd="slurm --mem 4G --time 4:00:00 --max-jobs-run 50 --retries 1"
# gpu_cmd="slurm --mem 16G --time 1-00:00:00 --num-threads 8 --requeue true"
#   GridEngine (utils/gridengine --help)
# cpu_cmd="gridengine --mem 4G --time 4:00:00 --max-jobs-run 50 --retries 1"
# gpu_cmd="gridengine --mem 16G --time 1-00:00:00 --num-threads 8 --requeue true"
