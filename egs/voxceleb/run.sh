#!/usr/bin/env bash
# Usage: run.sh --archives DIR | --corpus DIR[,DIR...] | --train-data DIR --test-data DIR[,DIR...]  [options] [--<section>.<key> VALUE ...]
# VoxCeleb: from the downloaded archives to the error rates of a network, chosen by name, on the lists of VoxCeleb1 (O, E, H).
#
# The speech:
#   --archives DIR            the archives as they are downloaded: vox1_dev_wav_parta?, vox1_test_wav.zip, vox2_dev_aac_parta?, ...
#   --corpus DIR[,DIR...]     or VoxCeleb unpacked, in any of the usual layouts
#   --lists DIR               trial lists and metadata (default <storage>/voxceleb_lists, where stage 0 downloads them)
#   --train vox1|vox2         whose development part trains (default vox2)
#   --eval o,e,h              lists to test on (default o,e,h; with --train vox1 only o, because E and H test its speakers)
#   --storage DIR             where archives are unpacked, audio is decoded and lists are downloaded (default corpora)
#   --data DIR                data directories (default data)
#   --pipes true              m4a is not decoded once and for all, but whenever it is read, by a pipe in wav.scp (default false)
#   --checksums FILE          MD5 of the archives; none: they are not checked (default local/checksums.md5 of the repository)
#   --list-table FILE         how many trials the lists have (default local/voxceleb_lists.tsv of the repository)
#   --train-data DIR, --test-data DIR[,DIR...]  or prepared data directories; every file trials or trials_<name> in the latter is a list
#   --trials FILE[,FILE...]   these lists instead, for one --test-data
# Augmentation of the training set, off unless one of these is given: a copy of every utterance for each kind
#   --musan DIR               MUSAN: noise, music and babble
#   --rirs DIR                RIRS_NOISES: rooms
#   --speeds 0.9,1.1          speeds; at another speed a speaker is another one
#   --num-augmented N         only so many copies, drawn from all
#   --augment-seed N          of what is drawn for them (default 1), whatever --seed is: seeds are compared on the same copies
# The system:
#   --config FILE             the system (default conf/fast_resnet34_dam.yaml); --system FILE is the same
#   --loss.margin 0.3         any key of the config on the command line wins over the file; so do --seed 2, --batch.size 64
#   --backends NAME,...       rows of the table (default own): own is what the config names; cosine, euclidean, lda_cosine, plda; behind
#                             each _z, _t, _s or _as: normalised by scores against the training speakers; calibrated_own
#   --lda-dim N               dimensions that lda_cosine and plda keep (default auto: as many as there are, at most 200)
#   --top-n N                 training speakers that normalise with _as, those that score highest (default auto: 300, at most a third)
#   --init-from EXP           another trained system, whose network this one starts from: softmax first, then contrastive
#   --accept-changes BOOL     true: go on training --exp though rates, schedule, length or margins of the config changed (default false)
#   --seed N                  the one seed of everything random in training
#   --exp DIR                 the trained system (default exp/<training set>/<config and what the command line changes>)
# The run:
#   --stage N                 begin with this stage (default 0)
#   --stop-stage M            end with this one (default 7)
#   --nj N                    jobs at once for decoding, features and embeddings (default 16)
#   --ngpu N                  GPUs to train on, of each machine (default 1; 0: the CPU); the batches are those of one
#   --nnodes N                machines to train on (default 1)
#   --cmd CMD                 who runs all jobs (default: cmd.sh)
set -euo pipefail
stage=0 stop_stage=7
archives="" corpus="" lists="" train=vox2 eval="" storage="" data="" pipes=false checksums="" list_table=""
train_data="" test_data="" trials="" musan="" rirs="" speeds="" num_augmented="" augment_seed=1
config="" system="" exp="" init_from="" backends=own lda_dim=auto top_n=auto seed="" nj=16 ngpu=1 nnodes=1 accept_changes=false cmd=""
overrides=()
. "$(dirname "$0")/path.sh"
. parse_options.sh
. stages.sh
. names.sh
. backends.sh
if [ "$checksums" != none ]; then set -- checksums; fi
. enter_recipe.sh archives corpus lists storage data list_table train_data test_data trials musan rirs config system exp init_from "$@"
. ./cmd.sh
. system_options.sh

config=${config:-${system:-conf/fast_resnet34_dam.yaml}}
storage=${storage:-corpora} data=${data:-data}
. check_system.sh # evaluation, backend, online, begun_from; prepare_features
. ./corpora.sh    # prepared, roots, train_data, test_data, augmentation, copies, network_data; need_roots, decoded, has_encoded
exp=${exp:-exp/$(basename "$network_data")/$(name_of_system "$config" "${overrides[@]}")}
use_system "$exp" "$backend" "$exp" # rows

if in_stage 0 "corpora -> $storage"; then
  if [ "$prepared" = true ]; then
    echo "nothing to do: the data directories are prepared" >&2
  elif [ -n "$archives" ]; then
    unpack_voxceleb ${checksums:+--checksums "$checksums"} "$archives" "$storage/unpacked"
  elif [ ! -d "${roots[0]}" ]; then
    fail "where is the speech? Give --archives, --corpus, or --train-data and --test-data (see --help)"
  fi
  if [ "$prepared" = false ] && [ "$lists" = "$storage/voxceleb_lists" ]; then download_corpus voxceleb_lists "$lists"; fi
fi

if in_stage 1 "m4a -> $storage/decoded"; then
  if [ "$prepared" = true ] || [ "$pipes" = true ]; then
    echo "nothing to do" >&2
  else
    need_roots
    for root in "${roots[@]}"; do
      if has_encoded "$root"; then decode_audio --cmd "$cpu_cmd" --nj "$nj" "$root" "$(decoded "$root")"; fi
    done
  fi
fi

if in_stage 2 "data directories and trials -> $data"; then
  if [ "$prepared" = true ]; then
    IFS=, read -r -a sets <<<"$train_data,$test_data"
    for set in "${sets[@]}"; do validate_data_dir.sh --no-feats "$set"; done
  else
    need_roots
    need 0 "$lists"
    all_roots="" rejected=""
    for root in "${roots[@]}"; do
      all_roots+=${all_roots:+,}$root
      if [ "$pipes" = true ] || [ ! -d "$(decoded "$root")" ]; then continue; fi
      all_roots+=,$(decoded "$root")
      if [ -f "$(decoded "$root")/rejected.tsv" ]; then rejected+=${rejected:+,}$(decoded "$root")/rejected.tsv; fi
    done
    prepare_voxceleb --metadata "$lists/vox1_meta.csv,$lists/vox2_meta.csv" --pipes "$pipes" --rejected "$rejected" "$all_roots" "$data"
    prepare_voxceleb_trials ${list_table:+--table "$list_table"} --lists "$eval" "$lists" "$data/vox1_dev,$data/vox1_test" "$data"
  fi
  if [ ! -f "$train_data/utt2spk" ]; then
    fail "$train_data is not made: the corpora have no development part of $train (another one: --train)"
  fi
  if [ -n "$musan" ]; then prepare_musan "$musan" "$data"; fi
  if [ -n "$rirs" ]; then prepare_rirs "$rirs" "$data"; fi
  if [ ${#augmentation[@]} -gt 0 ]; then augment_data_dir "${augmentation[@]}" "$train_data" "$copies"; fi
fi
if [ "$stop_stage" -le 2 ]; then exit 0; fi

if [ "$prepared" = false ]; then need 2 "$train_data/utt2spk"; fi
. data_options.sh # test_sets, trial_lists, list_test
if rows_learn; then embedded=("$train_data" "${test_sets[@]}"); else embedded=("${test_sets[@]}"); fi
if rows_calibrate; then embedded+=("$exp/held_out"); fi
check_disjoint_speakers "${begun_from[@]}" "$train_data" "${test_sets[@]}"

sets=("$train_data" "${test_sets[@]}")
if [ "$network_data" != "$train_data" ]; then sets+=("$copies"); fi
if in_stage 3 "features -> feats.scp in each data directory (with features.online: only utt2dur)"; then
  for set in "${sets[@]}"; do prepare_features "$set" --allow-pipes "$pipes"; done
  if [ "$network_data" != "$train_data" ]; then combine_data.sh "$network_data" "$train_data" "$copies"; fi
fi

if in_stage 4 "train the network -> $exp/final.pt"; then
  need 3 "$network_data/utt2dur"
  train --cmd "$gpu_cmd" --ngpu "$ngpu" --nnodes "$nnodes" --accept-changes "$accept_changes" --config "$config" "${overrides[@]}" "$network_data" "$exp"
fi

if in_stage 5 "embeddings -> $exp/embeddings_*"; then
  need 4 "$exp/final.pt"
  if rows_calibrate; then held_out_trials "$exp" "$network_data" "$exp/held_out"; fi
  for set in "${embedded[@]}"; do
    need 3 "$set/utt2dur"
    extract_embeddings --cmd "$embed_cmd" --nj "$nj" --ngpu "$embed_gpu" --evaluation "$evaluation" "$exp" "$set" "$exp/embeddings_$(basename "$set")"
  done
fi

if in_stage 6 "back-ends, and scores by each -> $exp/scores_*"; then
  for set in "${embedded[@]}"; do need 5 "$exp/embeddings_$(basename "$set")"; done
  train_backends "$train_data"
  for i in "${!trial_lists[@]}"; do
    score_by_rows "$train_data" "${trial_lists[i]}" "${list_enroll[i]}" "${list_test[i]}" "${list_models[i]}"
  done
fi

if in_stage 7 "results -> $exp/report"; then
  report --output "$exp/report" --published published.tsv "$exp"
  fill_results --published published.tsv RESULTS.md "$exp"
fi
