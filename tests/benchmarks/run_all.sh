#!/usr/bin/env bash
# Usage: run_all.sh OUT [NAME ...]
# Run all benchmarks, or those named (crop_supply growth ...), one after the other: OUT/NAME.json and OUT/NAME.log of each.
#
# Goes on when one fails, names those that did at the end, and has status 1 then. gpu_training is run where there is a
# GPU. All take about half an hour on two cores that do nothing else. Then: python3 tests/benchmarks/report.py OUT.
# NAME_OPTIONS are those of a benchmark: FEATURES_OPTIONS="--speech DIR", COSINE_SCORING_OPTIONS="--peer-wespeaker DIR", and to
# measure at VoxCeleb2's size, too, which takes longer: GROWTH_OPTIONS=--voxceleb2 run_all.sh OUT growth
set -euo pipefail
all=(crop_supply features extraction training_step cosine_scoring plda_scoring plda_training score_normalization
  metrics trial_lists posteriors augmentation online_features data_dirs sampler data_parallel sharded_classifier
  gpu_training profiles growth)
case ${1:-} in
  '' | -*)
    awk 'NR > 1 && !/^#/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"
    if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then exit 0; fi
    exit 2
    ;;
esac
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
. ./path.sh
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # a core each; what has several threads sets them itself

names=("$@")
if [ ${#names[@]} -eq 0 ]; then names=("${all[@]}"); fi
for name in "${names[@]}"; do
  if [ ! -f "tests/benchmarks/$name.py" ]; then
    echo "run_all: no benchmark is called '$name'; there are: ${all[*]}" >&2
    exit 2
  fi
done

failed=()
for name in "${names[@]}"; do
  if [ "$name" = gpu_training ] && ! python3 -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    echo "run_all: $name: left out, no GPU here"
    continue
  fi
  given=${name^^}_OPTIONS
  read -ra options <<<"${!given:-}"
  began=$SECONDS
  if python3 "tests/benchmarks/$name.py" --json "$out/$name.json.partial" "${options[@]}" >"$out/$name.log" 2>&1; then
    mv "$out/$name.json.partial" "$out/$name.json"
    echo "run_all: $name: $((SECONDS - began)) s"
  else
    failed+=("$name")
    echo "run_all: $name: failed after $((SECONDS - began)) s: $(tail -n 1 "$out/$name.log")" >&2
  fi
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "run_all: failed: ${failed[*]}; see $out/*.log" >&2
  exit 1
fi
echo "run_all: done; python3 tests/benchmarks/report.py $out"
