#!/usr/bin/env bash
# Usage: ivector.sh --train-data DIR --test-data DIR[,DIR...] [options]
# The i-vector system: MFCC with deltas, energy-based voice activity detection, a UBM, a total variability matrix, PLDA.
#
# Data directories are prepared as for run.sh, in folders of their own: MFCC and vad.scp are written into them.
#   --train-data DIR          what everything is trained on
#   --test-data DIR[,DIR...]  what to test on; every file trials or trials_<name> in it is a list
#   --trials FILE[,FILE...]   these lists instead, for one test directory
#   --num-gauss N             Gaussians of the UBM (default 2048)
#   --ivector-dim N           dimensions of an i-vector (default 400)
#   --backends NAME,...       rows of the table (default plda): cosine, lda_cosine, plda; behind each _z, _t, _s or _as: normalised by
#                             scores against the training speakers
#   --lda-dim N               dimensions that lda_cosine and plda keep (default 200)
#   --top-n N                 training speakers that normalise with _as, those that score highest (default auto: 300, at most a third)
#   --features FILE           the MFCC (default conf/ivector_mfcc.yaml)
#   --exp DIR                 models, i-vectors, scores and results (default exp/<training set>/ivector)
#   --stage N                 begin with this stage (default 0)
#   --stop-stage M            end with this one (default 7)
#   --seed N                  of the initial Gaussians and matrix (default 1)
#   --nj N                    jobs at once for features and i-vectors (default 16)
#   --threads N               of each training (default 8)
#   --ngpu N                  GPUs to train on, 0 or 1 (default 1; 0: the CPU)
#   --cmd CMD                 who runs all jobs (default: cmd.sh)
set -euo pipefail
stage=0 stop_stage=7
train_data="" test_data="" trials="" features=conf/ivector_mfcc.yaml exp=""
num_gauss=2048 ivector_dim=400 backends=plda lda_dim=200 top_n=auto
seed=1 nj=16 threads=8 ngpu=1 cmd=""
. "$(dirname "$0")/path.sh"
. parse_options.sh
. stages.sh
. names.sh
. backends.sh
. enter_recipe.sh train_data test_data trials features exp
. ./cmd.sh
if [ -n "$cmd" ]; then cpu_cmd=$cmd gpu_cmd=$cmd; fi
. data_options.sh # test_sets, trial_lists, list_enroll, list_test, list_models
exp=${exp:-exp/$(basename "$train_data")/ivector}
use_system "$exp" "" # rows; i-vectors have no back-end of their own
sets=("$train_data" "${test_sets[@]}")
check_disjoint_speakers "$train_data" "${test_sets[@]}"

if in_stage 1 "check the data directories"; then
  for set in "${sets[@]}"; do validate_data_dir.sh --no-feats "$set"; done
fi

if in_stage 2 "MFCC and voice activity -> feats.scp and vad.scp in each data directory"; then
  for set in "${sets[@]}"; do
    make_feats --cmd "$cpu_cmd" --nj "$nj" --config "$features" "$set"
    compute_vad --cmd "$cpu_cmd" --nj "$nj" "$set"
  done
fi

if in_stage 3 "universal background model -> $exp/ubm"; then
  need 2 "$train_data/vad.scp"
  train_ubm --cmd "$gpu_cmd" --ngpu "$ngpu" --threads "$threads" --seed "$seed" --num-gauss "$num_gauss" "$train_data" "$exp/ubm"
fi

if in_stage 4 "i-vector extractor -> $exp/extractor"; then
  need 3 "$exp/ubm/final.ubm"
  train_ivector_extractor --cmd "$gpu_cmd" --ngpu "$ngpu" --threads "$threads" --seed "$seed" --ivector-dim "$ivector_dim" \
    "$train_data" "$exp/ubm" "$exp/extractor"
fi

if in_stage 5 "i-vectors -> $exp/embeddings_*"; then
  need 4 "$exp/extractor/final.ie"
  for set in "${sets[@]}"; do
    need 2 "$set/vad.scp"
    extract_ivectors --cmd "$cpu_cmd" --nj "$nj" "$exp/extractor" "$set" "$exp/embeddings_$(basename "$set")"
  done
fi

if in_stage 6 "back-ends, and scores by each -> $exp/scores_*"; then
  for set in "${sets[@]}"; do need 5 "$exp/embeddings_$(basename "$set")"; done
  train_backends "$train_data"
  for i in "${!trial_lists[@]}"; do
    score_by_rows "$train_data" "${trial_lists[i]}" "${list_enroll[i]}" "${list_test[i]}" "${list_models[i]}"
  done
fi

if in_stage 7 "results -> $exp/report"; then
  published=()
  if [ "$(basename "$train_data")" = vox1_dev ]; then published=(--published published.tsv --published-as "ivector,vox1"); fi
  report --output "$exp/report" "${published[@]}" "$exp"
fi
