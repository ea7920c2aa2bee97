#!/usr/bin/env bash
# Usage: run.sh --train-data DIR --test-data DIR[,DIR...] [options] [--<section>.<key> VALUE ...]
# VoxCeleb: train a network by name, and report its error rates on the lists of VoxCeleb1 (O, E, H).
#
# Data directories are prepared beforehand (wav.scp, utt2spk, spk2utt; test directories also trials). Features are written into them.
#   --train-data DIR          what to train on, say VoxCeleb2's dev part
#   --test-data DIR[,DIR...]  what to test on; every file trials or trials_<name> in it is a list
#   --trials FILE[,FILE...]   these lists instead, for one test directory
#   --config FILE             the system (default conf/fast_resnet34_dam.yaml)
#   --loss.margin 0.3         any key of the config on the command line wins over the file; so do --seed 2, --batch.size 64
#   --backends NAME,...       rows of the table (default own): own is what the config names; cosine, euclidean, lda_cosine, plda; behind
#                             each _z, _t, _s or _as: normalised by scores against the training speakers; calibrated_own
#   --lda-dim N               dimensions that lda_cosine and plda keep (default auto: as many as there are, at most 200)
#   --top-n N                 training speakers that normalise with _as, those that score highest (default auto: 300, at most a third)
#   --stage N                 begin with this stage (default 0)
#   --stop-stage M            end with this one (default 6)
#   --exp DIR                 the trained system (default exp/<training set>/<config and what the command line changes>)
#   --init-from EXP           another trained system, whose network this one starts from: softmax first, then contrastive
#   --seed N                  the one seed of everything random in training
#   --nj N                    jobs at once for features and embeddings (default 16)
#   --ngpu N                  GPUs to train on (default 1; 0: the CPU)
#   --cmd CMD                 who runs all jobs (default: cmd.sh)
set -euo pipefail
stage=0 stop_stage=6
train_data="" test_data="" trials="" config="" exp="" init_from=""
backends=own lda_dim=auto top_n=auto seed="" nj=16 ngpu=1 cmd=""
overrides=()
. "$(dirname "$0")/path.sh"
. parse_options.sh
. stages.sh
. names.sh
. backends.sh
. enter_recipe.sh train_data test_data trials config exp init_from
. ./cmd.sh
. system_options.sh

config=${config:-conf/fast_resnet34_dam.yaml}

if in_stage 0 "corpora"; then
  echo "nothing to do: prepared data directories are expected (--train-data, --test-data)" >&2
fi
if [ "$stop_stage" -eq 0 ]; then exit 0; fi
. data_options.sh # test_sets, lists, list_test
exp=${exp:-exp/$(basename "$train_data")/$(name_of_system "$config" "${overrides[@]}")}

if in_stage 1 "check the data directories"; then
  for set in "$train_data" "${test_sets[@]}"; do validate_data_dir.sh --no-feats "$set"; done
fi
. check_system.sh                   # evaluation, backend
use_system "$exp" "$backend" "$exp" # rows
if rows_learn; then embedded=("$train_data" "${test_sets[@]}"); else embedded=("${test_sets[@]}"); fi
if rows_calibrate; then embedded+=("$exp/held_out"); fi
check_disjoint_speakers "$train_data" "${test_sets[@]}"

if in_stage 2 "features -> feats.scp in each data directory"; then
  for set in "$train_data" "${test_sets[@]}"; do
    make_feats --cmd "$cpu_cmd" --nj "$nj" --config "$config" "${feature_overrides[@]}" "$set"
  done
fi

if in_stage 3 "train the network -> $exp/final.pt"; then
  need 2 "$train_data/feats.scp"
  train --cmd "$gpu_cmd" --ngpu "$ngpu" --config "$config" "${overrides[@]}" "$train_data" "$exp"
fi

if in_stage 4 "embeddings -> $exp/embeddings_*"; then
  need 3 "$exp/final.pt"
  if rows_calibrate; then held_out_trials "$exp" "$train_data" "$exp/held_out"; fi
  for set in "${embedded[@]}"; do
    need 2 "$set/feats.scp"
    extract_embeddings --cmd "$embed_cmd" --nj "$nj" --ngpu "$embed_gpu" --evaluation "$evaluation" "$exp" "$set" "$exp/embeddings_$(basename "$set")"
  done
fi

if in_stage 5 "back-ends, and scores by each -> $exp/scores_*"; then
  for set in "${embedded[@]}"; do need 4 "$exp/embeddings_$(basename "$set")"; done
  train_backends "$train_data"
  for i in "${!lists[@]}"; do score_by_rows "$train_data" "${lists[i]}" "${list_test[i]}" "${list_test[i]}"; done
fi

if in_stage 6 "results -> $exp/results"; then
  report "$exp"
fi
