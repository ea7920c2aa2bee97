#!/usr/bin/env bash
# Usage: run.sh --train-data DIR --test-data DIR[,DIR...] [--model EXP] [options] [--<section>.<key> VALUE ...]
# Speakers in the Wild: error rates of a network that egs/voxceleb trained, or of one that is trained here.
#
# Data directories are prepared beforehand (wav.scp, utt2spk, spk2utt; test directories also trials). Features are written into them.
#   --train-data DIR            what the network is trained on; with --model, what it was trained on (to see that no speaker is in both)
#   --test-data DIR[,DIR...]    what to test on; every file trials or trials_<name> in it is a list
#   --enroll-data DIR[,DIR...]  where the enrolled side of the trials is, one for each of --test-data (default: the same)
#   --trials FILE[,FILE...]     these lists instead, for one test directory
#   --model EXP                 the trained system, say ../voxceleb/exp/vox2_dev/fast_resnet34_dam; then nothing is trained here
#   --config FILE               without --model: the system (default ../voxceleb/conf/fast_resnet34_dam.yaml)
#   --loss.margin 0.3           without --model: any key of the config on the command line wins over the file; keys of its
#                               section evaluation also with --model: --evaluation.crops 10
#   --backends NAME,...         rows of the table (default own): own is what the config names; cosine, euclidean, lda_cosine, plda; behind
#                               each _z, _t, _s or _as: normalised by scores against the training speakers; calibrated_own
#   --lda-dim N                 dimensions that lda_cosine and plda keep (default auto: as many as there are, at most 200)
#   --top-n N                   training speakers that normalise with _as, those that score highest (default auto: 300, at most a third)
#   --stage N                   begin with this stage (default 0)
#   --stop-stage M              end with this one (default 6)
#   --exp DIR                   embeddings, scores, results and what is trained here
#                               (default exp/<training set>/<name of the model, or config and what the command line changes>)
#   --init-from EXP             without --model: another trained system, whose network this one starts from
#   --seed N                    without --model: the one seed of everything random in training
#   --nj N                      jobs at once for features and embeddings (default 16)
#   --ngpu N                    GPUs to train on (default 1; 0: the CPU)
#   --cmd CMD                   who runs all jobs (default: cmd.sh)
set -euo pipefail
stage=0 stop_stage=6
train_data="" test_data="" enroll_data="" trials="" model="" config="" exp="" init_from=""
backends=own lda_dim=auto top_n=auto seed="" nj=16 ngpu=1 cmd=""
overrides=()
. "$(dirname "$0")/path.sh"
. parse_options.sh
. stages.sh
. names.sh
. backends.sh
. enter_recipe.sh train_data test_data enroll_data trials model config exp init_from
. ./cmd.sh
. system_options.sh

retrain=$config
for ((i = 0; i < ${#overrides[@]}; i += 2)); do
  if [[ ${overrides[i]} != --evaluation.* ]]; then retrain+=${overrides[i]}; fi
done
if [ -n "$model" ] && [ -n "$retrain" ]; then
  echo "$0: error: --model is trained already: --config, --init-from, --seed and keys of the config other than evaluation.* do not go with it" >&2
  exit 1
fi

if in_stage 0 "corpora"; then
  echo "nothing to do: prepared data directories are expected (--train-data, --test-data)" >&2
fi
if [ "$stop_stage" -eq 0 ]; then exit 0; fi
. data_options.sh # test_sets, enroll_sets, lists, list_enroll, list_test
if [ -n "$model" ]; then
  if [ ! -f "$model/final.pt" ]; then
    echo "$0: error: --model $model: no trained system is there (no final.pt); train it with egs/voxceleb/run.sh" >&2
    exit 1
  fi
  config=$model/config.yaml
  exp=${exp:-exp/$(basename "$train_data")/$(name_of_system "$model" "${overrides[@]}")}
else
  config=${config:-../voxceleb/conf/fast_resnet34_dam.yaml}
  exp=${exp:-exp/$(basename "$train_data")/$(name_of_system "$config" "${overrides[@]}")}
  model=$exp
fi
mapfile -t evaluated < <(printf '%s\n' "${test_sets[@]}" "${enroll_sets[@]}" | sort -u)

if in_stage 1 "check the data directories"; then
  for set in "$train_data" "${evaluated[@]}"; do validate_data_dir.sh --no-feats "$set"; done
fi
. check_system.sh                     # evaluation, backend
use_system "$exp" "$backend" "$model" # rows
sets=("${evaluated[@]}")
if [ "$model" = "$exp" ] || rows_learn || rows_calibrate; then sets=("$train_data" "${sets[@]}"); fi
if rows_learn; then embedded=("$train_data" "${evaluated[@]}"); else embedded=("${evaluated[@]}"); fi
if rows_calibrate; then embedded+=("$exp/held_out"); fi
check_disjoint_speakers "$train_data" "${evaluated[@]}"

if in_stage 2 "features -> feats.scp in each data directory"; then
  for set in "${sets[@]}"; do
    make_feats --cmd "$cpu_cmd" --nj "$nj" --config "$config" "${feature_overrides[@]}" "$set"
  done
fi

if in_stage 3 "the network -> $model/final.pt"; then
  if [ "$model" = "$exp" ]; then
    need 2 "$train_data/feats.scp"
    train --cmd "$gpu_cmd" --ngpu "$ngpu" --config "$config" "${overrides[@]}" "$train_data" "$exp"
  else
    echo "already trained: $model" >&2
  fi
fi

if in_stage 4 "embeddings -> $exp/embeddings_*"; then
  need 3 "$model/final.pt"
  if rows_calibrate; then held_out_trials "$model" "$train_data" "$exp/held_out"; fi
  for set in "${embedded[@]}"; do
    need 2 "$set/feats.scp"
    extract_embeddings --cmd "$embed_cmd" --nj "$nj" --ngpu "$embed_gpu" --evaluation "$evaluation" "$model" "$set" "$exp/embeddings_$(basename "$set")"
  done
fi

if in_stage 5 "back-ends, and scores by each -> $exp/scores_*"; then
  for set in "${embedded[@]}"; do need 4 "$exp/embeddings_$(basename "$set")"; done
  train_backends "$train_data"
  for i in "${!lists[@]}"; do score_by_rows "$train_data" "${lists[i]}" "${list_enroll[i]}" "${list_test[i]}"; done
fi

if in_stage 6 "results -> $exp/results"; then
  report "$exp"
fi
