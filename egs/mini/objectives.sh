#!/usr/bin/env bash
# Usage: objectives.sh [options] -- --corpus DIR[,DIR...] [options of run.sh]
# Train one network with every objective, on the same speakers and the same number of crops, and print one table.
#   --objectives "NAME ..."  these alone (default: all twelve)
#   --exp DIR                has a folder for each objective, and the table in DIR/report (default exp/objectives)
# What follows `--` goes to run.sh for each of them, which begins with conf/objectives.yaml. Run again, it carries on.
set -euo pipefail
objectives="softmax nsl a_softmax am_softmax aam_softmax dam_softmax
  contrastive triplet prototypical ge2e angular_prototypical softmax_angular_prototypical"
exp=""
. "$(dirname "$0")/path.sh"
. parse_options.sh
. enter_recipe.sh exp
exp=${exp:-exp/objectives}

# What makes the objectives differ is decided here, and the rest is for all of them alike.
for option in "$@"; do
  case ${option%%=*} in
    --config | --exp | --loss | --loss.* | --curriculum | --curriculum.* | --evaluation.backend* | --batch.utterances_per_speaker | --batch.reuse_utterances)
      echo "objectives.sh: error: ${option%%=*} is another one for each objective; it does not go behind --" >&2
      exit 1
      ;;
  esac
done

# The loss and the layout of its batches. Angular margins, from scratch and on few speakers, begin small (see README.md).
options_of() {
  local pairs=(--batch.utterances_per_speaker 2) growing=(--curriculum.margin.start 0)
  case $1 in
    softmax | nsl) echo --loss.name "$1" ;;
    am_softmax | aam_softmax | dam_softmax) echo --loss.name "$1" "${growing[@]}" ;;
    a_softmax) echo --loss.name a_softmax --loss.annealing 5 --curriculum.annealing.start 1000 --curriculum.annealing.curve geometric ;;
    triplet)
      echo --loss.name triplet --loss.mining rank --loss.hardest 0.1 "${pairs[@]}" \
        --curriculum.probability.start 0 --curriculum.probability.begin 0.2 --curriculum.probability.end 0.2
      ;;
    prototypical)
      echo --loss.name prototypical "${pairs[@]}" --evaluation.backend.name euclidean --evaluation.backend.length_normalize false
      ;;
    contrastive | ge2e | angular_prototypical | softmax_angular_prototypical) echo --loss.name "$1" "${pairs[@]}" ;;
    *)
      echo "objectives.sh: error: no objective is named '$1'" >&2
      exit 1
      ;;
  esac
}

systems=()
for objective in $objectives; do
  options=$(options_of "$objective")
  # shellcheck disable=SC2086 # options is a list of words
  ./run.sh --config conf/objectives.yaml --exp "$exp/$objective" $options "$@"
  if compgen -G "$exp/$objective/scores_*.json" >/dev/null; then systems+=("$exp/$objective"); fi
done
if [ ${#systems[@]} -gt 0 ]; then report --output "$exp/report" "${systems[@]}"; fi
