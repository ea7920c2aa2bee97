#!/usr/bin/env bash
# Usage: run.sh --sitw DIR | --test-data DIR[,DIR...]  [--model EXP] [options] [--<section>.<key> VALUE ...]
# Speakers in the Wild: error rates of a network that egs/voxceleb trained, or of one that is trained here.
#
# The speech:
#   --sitw DIR                  the distribution: dev/ and eval/ with audio, keys and lists
#   --eval dev,eval             which of them (default both)
#   --overlap FILE              the speakers of VoxCeleb1 that are in SITW, voxceleb1_sitw_overlap.txt of OpenSLR 49: they are left out of
#                               training, and a --model trained on them is refused (default corpora/sitw_overlap/..., downloaded by stage 0)
#   --lists DIR                 vox1_meta.csv and vox2_meta.csv, which tell who these speakers are (default ../voxceleb/corpora/voxceleb_lists)
#   --train-data DIR[,DIR...]   data directories that train the network (default ../voxceleb/data/vox2_dev); with --model, what it was
#                               trained on. Features are written into them, where egs/voxceleb did not do so
#   --data DIR                  data directories (default data)
#   --test-data DIR[,DIR...]    or prepared data directories instead of --sitw; every file trials or trials_<name> in one is a list; the
#                               enrolled side of trials_<a>-<b> is models where there is a file models_<a> (model utterance utterance ...)
#   --enroll-data DIR[,DIR...]  where the enrolled side of the trials is, one for each of --test-data (default: the same)
#   --trials FILE[,FILE...]     these lists instead, for one test directory
# The system:
#   --model EXP                 the trained system, say ../voxceleb/exp/vox2_dev/fast_resnet34_dam; then nothing is trained here
#   --config FILE               without --model: the system (default ../voxceleb/conf/fast_resnet34_dam.yaml); --system FILE is the same
#   --loss.margin 0.3           without --model: any key of the config on the command line wins over the file; keys of its
#                               section evaluation also with --model: --evaluation.crops 10
#   --backends NAME,...         rows of the table (default own): own is what the config names; cosine, euclidean, lda_cosine, plda; behind
#                               each _z, _t, _s or _as: normalised by scores against the training speakers; calibrated_own
#   --lda-dim N                 dimensions that lda_cosine and plda keep (default auto: as many as there are, at most 200)
#   --top-n N                   training speakers that normalise with _as, those that score highest (default auto: 300, at most a third)
#   --init-from EXP             without --model: another trained system, whose network this one starts from
#   --accept-changes BOOL       true: go on training --exp though rates, schedule, length or margins of the config changed (default false)
#   --seed N                    without --model: the one seed of everything random in training
#   --exp DIR                   embeddings, scores, results and what is trained here
#                               (default exp/<training set>/<name of the model, or config and what the command line changes>)
# The run:
#   --stage N                   begin with this stage (default 0)
#   --stop-stage M              end with this one (default 6)
#   --nj N                      jobs at once for features and embeddings (default 16)
#   --ngpu N                    GPUs to train on, of each machine (default 1; 0: the CPU); the batches are those of one
#   --nnodes N                  machines to train on (default 1)
#   --cmd CMD                   who runs all jobs (default: cmd.sh)
set -euo pipefail
stage=0 stop_stage=6
sitw="" eval=dev,eval overlap="" lists="" train_data="" data="" test_data="" enroll_data="" trials=""
model="" config="" system="" exp="" init_from="" backends=own lda_dim=auto top_n=auto seed="" nj=16 ngpu=1 nnodes=1 accept_changes=false cmd=""
overrides=()
. "$(dirname "$0")/path.sh"
. parse_options.sh
. stages.sh
. names.sh
. backends.sh
. enter_recipe.sh sitw overlap lists train_data data test_data enroll_data trials model config system exp init_from
. ./cmd.sh
. system_options.sh

config=${config:-$system} data=${data:-data}
lists=${lists:-../voxceleb/corpora/voxceleb_lists} train_data=${train_data:-../voxceleb/data/vox2_dev}
retrain=$config
for ((i = 0; i < ${#overrides[@]}; i += 2)); do
  if [[ ${overrides[i]} != --evaluation.* ]]; then retrain+=${overrides[i]}; fi
done
if [ -n "$model" ] && [ -n "$retrain" ]; then
  echo "$0: error: --model is trained already: --config, --init-from, --seed and keys of the config other than evaluation.* do not go with it" >&2
  exit 1
fi
if [[ ! $eval =~ ^(dev|eval)(,(dev|eval))*$ ]]; then
  echo "$0: error: --eval takes dev and eval with a comma between, not '$eval'" >&2
  exit 1
fi
if [ -n "$sitw" ] && [ -n "$test_data" ]; then
  echo "$0: error: --sitw and --test-data: give one of these" >&2
  exit 1
fi
if [ -z "$test_data" ]; then
  for part in ${eval//,/ }; do test_data+=${test_data:+,}$data/sitw_$part; done
fi
if [ -n "$overlap" ] && [ ! -f "$overlap" ]; then
  echo "$0: error: --overlap $overlap: no such file" >&2
  exit 1
fi
default_overlap=corpora/sitw_overlap/voxceleb1_sitw_overlap.txt
overlap=${overlap:-$default_overlap}
no_overlap=(--overlap "$overlap")
if [ -e "$lists/vox1_meta.csv" ]; then no_overlap+=(--metadata "$lists/vox1_meta.csv,$lists/vox2_meta.csv"); fi

if in_stage 0 "who is in both corpora -> $overlap"; then
  if [ "$overlap" = "$default_overlap" ]; then download_corpus sitw_overlap "$(dirname "$overlap")"; fi
fi

if in_stage 1 "data directories and trials -> $data"; then
  if [ -n "$sitw" ]; then
    prepare_sitw "$sitw" "$data"
  else
    IFS=, read -r -a sets <<<"$test_data${enroll_data:+,$enroll_data}"
    if [ ! -d "${sets[0]}" ]; then
      echo "$0: error: where is the speech? Give --sitw, or prepared data directories with --test-data (see --help)" >&2
      exit 1
    fi
    for set in "${sets[@]}"; do validate_data_dir.sh --no-feats "$set"; done
  fi
fi
if [ "$stop_stage" -le 1 ]; then exit 0; fi

. data_options.sh # train_sets, test_sets, enroll_sets, trial_lists, list_enroll, list_test, list_models
if [ -n "$model" ]; then
  if [ ${#train_sets[@]} -gt 1 ]; then
    echo "$0: error: with --model, --train-data is the one directory that it was trained on" >&2
    exit 1
  fi
  if [ ! -f "$model/final.pt" ]; then
    echo "$0: error: --model $model: no trained system is there (no final.pt); train it with egs/voxceleb/run.sh" >&2
    exit 1
  fi
  config=$model/config.yaml
  exp=${exp:-exp/$(basename "$train_data")/$(name_of_system "$model" "${overrides[@]}")}
else
  train_data=$data/$(name_of_folders "$train_data")_without_sitw
  config=${config:-../voxceleb/conf/fast_resnet34_dam.yaml}
  exp=${exp:-exp/$(basename "$train_data")/$(name_of_system "$config" "${overrides[@]}")}
  model=$exp
fi
mapfile -t evaluated < <(printf '%s\n' "${test_sets[@]}" "${enroll_sets[@]}" | sort -u)
. check_system.sh # evaluation, backend, online, begun_from; prepare_features
if [ "$model" != "$exp" ]; then begun_from=(--init-from "$model"); fi
use_system "$exp" "$backend" "$model" # rows
if rows_learn; then embedded=("$train_data" "${evaluated[@]}"); else embedded=("${evaluated[@]}"); fi
if rows_calibrate; then embedded+=("$exp/held_out"); fi
need 0 "$overlap"
for set in "${train_sets[@]}"; do check_disjoint_speakers "${begun_from[@]}" "$set" "${evaluated[@]}"; done
if [ "$model" != "$exp" ]; then check_sitw_overlap "${no_overlap[@]}" --model "$model" "$train_data"; fi

if in_stage 2 "features -> feats.scp in each data directory (with features.online: only utt2dur); the training set without the speakers of SITW -> $train_data"; then
  sets=("${evaluated[@]}")
  if [ "$model" = "$exp" ] || rows_learn || rows_calibrate; then sets+=("${train_sets[@]}"); fi
  for set in "${sets[@]}"; do prepare_features "$set"; done
  if [ "$model" = "$exp" ]; then
    parts=()
    for set in "${train_sets[@]}"; do
      parts+=("$data/$(basename "$set")_without_sitw")
      remove_sitw_overlap "${no_overlap[@]}" "$set" "${parts[-1]}"
    done
    if [ ${#parts[@]} -gt 1 ]; then combine_data.sh "$train_data" "${parts[@]}"; fi
  fi
fi
if [ "$stop_stage" -le 2 ]; then exit 0; fi
need 2 "$train_data/utt2spk"
if [ "$model" = "$exp" ]; then check_sitw_overlap "${no_overlap[@]}" "${begun_from[@]}" "$train_data"; fi

if in_stage 3 "the network -> $model/final.pt"; then
  if [ "$model" = "$exp" ]; then
    need 2 "$train_data/utt2dur"
    train --cmd "$gpu_cmd" --ngpu "$ngpu" --nnodes "$nnodes" --accept-changes "$accept_changes" --config "$config" "${overrides[@]}" "$train_data" "$exp"
  else
    echo "already trained: $model" >&2
  fi
fi

if in_stage 4 "embeddings -> $exp/embeddings_*"; then
  need 3 "$model/final.pt"
  if rows_calibrate; then held_out_trials "$model" "$train_data" "$exp/held_out"; fi
  for set in "${embedded[@]}"; do
    need 2 "$set/utt2dur"
    extract_embeddings --cmd "$embed_cmd" --nj "$nj" --ngpu "$embed_gpu" --evaluation "$evaluation" "$model" "$set" "$exp/embeddings_$(basename "$set")"
  done
fi

if in_stage 5 "back-ends, and scores by each -> $exp/scores_*"; then
  for set in "${embedded[@]}"; do need 4 "$exp/embeddings_$(basename "$set")"; done
  train_backends "$train_data"
  for i in "${!trial_lists[@]}"; do
    score_by_rows "$train_data" "${trial_lists[i]}" "${list_enroll[i]}" "${list_test[i]}" "${list_models[i]}"
  done
fi

if in_stage 6 "results -> $exp/report"; then
  report --output "$exp/report" --published ../voxceleb/published.tsv --model "$model" "$exp"
  fill_results --published ../voxceleb/published.tsv --model "$model" RESULTS.md "$exp"
fi
