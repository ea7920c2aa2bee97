#!/usr/bin/env bash
# Usage: run.sh [options] [--<section>.<key> VALUE ...]
# From speech to a table of error rates in minutes on a CPU: a small network beside plain statistics of the features.
#
# Without --corpus, on speech that espeak-ng speaks here: for trying the machinery, not for claims.
#   --corpus DIR[,DIR...]  folders of real speech: DIR/wav/<speaker>/<session>/<utterance>.{wav,flac}; all train together
#   --noise DIR            a folder of noises and rooms, DIR/noise/<class>/*.flac and DIR/rir/*.flac, or one of both; noise.tsv and rir.tsv
#                          (columns path and split) keep some for testing: every test set is also tested in a noisy copy
#   --augment true         with --noise: the training set gets a noisy and a reverberated copy (default false)
#   --config FILE          the system (default conf/fast_resnet34_dam.yaml)
#   --loss.margin 0.3      any key of the config on the command line wins over the file; so do --seed 2, --train.steps 500
#   --stage N              begin with this stage (default 0)
#   --stop-stage M         end with this one (default 6)
#   --data DIR             data directories (default data/<corpus>)
#   --exp DIR              the trained system (default exp/<corpus>/<config and what the command line changes>)
#   --baseline DIR         the statistics that it is compared with (default exp/<corpus>/statistics)
#   --with-baseline BOOL   false: leave that out (default true)
#   --backends NAME,...    rows of the table (default own,lda_cosine,plda,own_as): own is what the config names; cosine, euclidean,
#                          lda_cosine, plda; behind each _z, _t, _s or _as: normalised by scores against the training speakers; calibrated_own
#   --lda-dim N            dimensions that lda_cosine and plda keep (default auto: as many as there are, at most 200)
#   --top-n N              training speakers that normalise with _as, those that score highest (default auto: 300, at most a third)
#   --init-from EXP        another trained system, whose network this one starts from
#   --accept-changes BOOL  true: go on training --exp though rates, schedule, length or margins of the config changed (default false)
#   --seed N               the one seed of everything random in training
#   --nj N                 jobs at once for features and embeddings (default 2)
#   --ngpu N               GPUs to train on, of each machine (default 0: the CPU); the batches are those of one
#   --nnodes N             machines to train on (default 1)
#   --cmd CMD              who runs all jobs (default: cmd.sh)
set -euo pipefail
stage=0 stop_stage=6
corpus="" noise="" augment=false config="" data="" exp="" baseline="" init_from=""
backends=own,lda_cosine,plda,own_as lda_dim=auto top_n=auto with_baseline=true seed="" nj=2 ngpu=0 nnodes=1 accept_changes=false cmd=""
overrides=()
. "$(dirname "$0")/path.sh"
. parse_options.sh
. stages.sh
. names.sh
. backends.sh
. enter_recipe.sh corpus noise config data exp baseline init_from
. ./cmd.sh
. system_options.sh

espeak=corpus/espeak
name=$(name_of_folders "${corpus:-$espeak}")
config=${config:-conf/fast_resnet34_dam.yaml}
data=${data:-data/$name}
training_set=train
if [ "$augment" = true ]; then
  if [ -z "$noise" ]; then usage_error "--augment true needs --noise DIR"; fi
  training_set=train_augmented
fi
exp=${exp:-exp/$name/$(name_of_system "$config" "${overrides[@]}")${training_set#train}}
baseline=${baseline:-exp/$name/statistics}
. check_system.sh # evaluation, backend
systems=("$exp")
if [ "$with_baseline" = true ]; then systems=("$baseline" "$exp"); fi
use() { if [ "$1" = "$baseline" ]; then use_system "$1" cosine; else use_system "$1" "$backend" "$exp"; fi; }
use "$exp" # are --backends known?

# noises: what of --noise there is to test with, or to train with ($1), as options of augment_data_dir.
noises_of() {
  noises=()
  if [ -d "$data/noise_$1" ]; then noises+=(--noises "$data/noise_$1"); fi
  if [ -d "$data/rir_$1" ]; then noises+=(--rirs "$data/rir_$1"); fi
  if [ ${#noises[@]} -eq 0 ]; then
    echo "$0: error: --noise $noise: nothing there is for the split '$1'; say in $noise/noise.tsv or rir.tsv (columns path and split) what is" >&2
    exit 1
  fi
}

if [ -z "$corpus" ] && in_stage 0 "speech by espeak-ng -> $espeak"; then
  make_espeak_corpus "$espeak"
fi

if in_stage 1 "data directories and trials -> $data"; then
  if [ -z "$corpus" ]; then need 0 "$espeak"; fi
  corpus=${corpus:-$espeak}
  for folder in ${corpus//,/ }; do
    if [ ! -d "$folder" ]; then
      echo "$0: error: --corpus: no such folder: $folder" >&2
      exit 1
    fi
  done
  prepare_speaker_folders "$corpus" "$data"
  for set in "$data"/*/; do validate_data_dir.sh --no-feats "$set"; done
  check_disjoint_speakers "${begun_from[@]}" "$data/train" "$data"/test_*/
  if [ -n "$noise" ]; then
    prepare_noise_folders "$noise" "$data"
    noises_of test
    for set in "$data"/test_*/; do augment_data_dir --same-names true "${noises[@]}" "$set" "$data/noisy_$(basename "$set")"; done
    if [ "$augment" = true ]; then
      noises_of train
      augment_data_dir "${noises[@]}" "$data/train" "$data/train_copies"
    fi
  fi
fi

if [ "$stop_stage" -le 1 ]; then exit 0; fi
need 1 "$data/train/utt2spk"
tests=()
for set in "$data"/test_*/; do
  tests+=("$(basename "$set")")
  if [ -n "$noise" ]; then tests+=("noisy_$(basename "$set")"); fi
done
sets=(train "${tests[@]}")
made=("${sets[@]}")
if [ "$augment" = true ]; then made+=(train_copies); fi

if in_stage 2 "features -> $data/*/feats.scp"; then
  for set in "${made[@]}"; do
    make_feats --cmd "$cpu_cmd" --nj "$nj" --config "$config" "${feature_overrides[@]}" "$data/$set"
  done
  if [ "$augment" = true ]; then combine_data.sh "$data/$training_set" "$data/train" "$data/train_copies"; fi
fi

if in_stage 3 "train the network -> $exp/final.pt"; then
  need 2 "$data/$training_set/feats.scp"
  train --cmd "$gpu_cmd" --ngpu "$ngpu" --nnodes "$nnodes" --accept-changes "$accept_changes" --config "$config" "${overrides[@]}" "$data/$training_set" "$exp"
fi

if in_stage 4 "embeddings -> $exp/embeddings_*; statistics of the features -> $baseline/embeddings_*"; then
  need 3 "$exp/final.pt"
  for set in "${sets[@]}"; do
    need 2 "$data/$set/feats.scp"
    if [ "$with_baseline" = true ]; then extract_statistics "$data/$set" "$baseline/embeddings_$set"; fi
  done
  embedded=("${sets[@]/#/$data/}")
  if rows_calibrate; then
    held_out_trials "$exp" "$data/$training_set" "$exp/held_out"
    embedded+=("$exp/held_out")
  fi
  for set in "${embedded[@]}"; do
    extract_embeddings --cmd "$embed_cmd" --nj "$nj" --ngpu "$embed_gpu" --evaluation "$evaluation" "$exp" "$set" "$exp/embeddings_$(basename "$set")"
  done
fi

if in_stage 5 "back-ends, and scores by each -> $exp/scores_*, $baseline/scores_*"; then
  for system in "${systems[@]}"; do
    need 4 "${sets[@]/#/$system/embeddings_}"
    use "$system"
    if rows_calibrate; then need 4 "$exp/embeddings_held_out"; fi
    train_backends "$data/train"
    for set in "${tests[@]}"; do score_by_rows "$data/train" "$data/$set/trials" "$data/$set" "$data/$set"; done
  done
fi

if in_stage 6 "results -> $exp/report"; then
  for system in "${systems[@]}"; do
    use "$system"
    for set in "${tests[@]}"; do mapfile -t made < <(row_scores "$data/$set" trials) && need 5 "${made[@]}"; done
  done
  report --output "$exp/report" "${systems[@]}"
fi
