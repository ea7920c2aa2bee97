# shellcheck shell=bash disable=SC2034,SC2154 # the recipe sets the options, and uses what becomes of them
# Sourced by a run.sh after cmd.sh: what --cmd, --seed, --init-from, --ngpu and --<section>.<key> mean for the steps.
#
# cpu_cmd, gpu_cmd, embed_cmd: who runs the jobs; embed_gpu: GPUs of an embedding job. overrides: what the command line
# changes of the config; feature_overrides: those of them that the features are made with.
if [ -n "$cmd" ]; then cpu_cmd=$cmd gpu_cmd=$cmd; fi
for _cmd in "$cpu_cmd" "$gpu_cmd"; do
  if ! command -v "${_cmd%% *}" >/dev/null; then
    echo "$0: error: --cmd '$_cmd': no such command; who runs jobs is run, slurm or gridengine (utils/)" >&2
    exit 1
  fi
done
if [ "$ngpu" = 0 ]; then embed_cmd=$cpu_cmd embed_gpu=0; else embed_cmd=$gpu_cmd embed_gpu=1; fi
if [ -n "$seed" ]; then overrides+=(--seed "$seed"); fi
if [ -n "$init_from" ]; then overrides+=(--init_from "$init_from"); fi
feature_overrides=()
for ((_i = 0; _i < ${#overrides[@]}; _i += 2)); do
  if [[ ${overrides[_i]} == --features.* ]]; then feature_overrides+=("${overrides[@]:_i:2}"); fi
done
