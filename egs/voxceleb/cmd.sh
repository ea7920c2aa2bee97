# shellcheck shell=bash disable=SC2034 # run.sh uses them
# Who runs the jobs: the only place that knows this machine. `run` starts them here (utils/run --help).
cpu_cmd="run --mem 4G"
gpu_cmd="run --mem 16G"
