# shellcheck shell=bash disable=SC2034 # run.sh uses them
# Who runs the jobs: the only place that knows this machine or cluster. Choose one, or say it for one run with --cmd.
#
# On this machine (utils/run --help):
cpu_cmd=run
gpu_cmd=run
# On a cluster (docs/clusters.md):
# cpu_cmd="slurm --mem 4G" gpu_cmd="slurm --mem 8G"
# cpu_cmd="gridengine --mem 4G" gpu_cmd="gridengine --mem 8G"
