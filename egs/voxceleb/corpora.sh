# shellcheck shell=bash disable=SC2034,SC2154 # run.sh sets its options, and uses what becomes of them
# Sourced by run.sh: what its options about the speech mean, and which of them do not go together.
#
# prepared: true where data directories are given; else roots: the corpora's folders, and lists, train_data, test_data.
# augmentation: options of augment_data_dir, or none; copies: what it makes; network_data: what the network is trained on.
fail() {
  echo "$0: error: $1" >&2
  exit 1
}

if [ "$pipes" = true ] && [ "$online" = true ]; then fail "--pipes true does not go with features.online, which reads parts of recordings; decode them"; fi
case $train in
  vox1) eval=${eval:-o} ;;
  vox2) eval=${eval:-o,e,h} ;;
  *) fail "--train takes vox1 or vox2, not '$train'; other training sets are given with --train-data" ;;
esac
if [ -z "$list_table" ] && [[ ! $eval =~ ^[oeh](,[oeh])*$ ]]; then fail "--eval takes o, e and h with commas between, not '$eval'; lists of your own need --list-table"; fi
if [ "$train" = vox1 ] && [[ $eval =~ (^|,)[eh] ]]; then fail "--eval $eval: E and H test VoxCeleb1's development speakers, who train with --train vox1; give --eval o, or --train vox2"; fi
if [ -n "$train_data" ] && [ -n "$test_data" ]; then
  prepared=true
elif [ -z "$train_data$test_data" ]; then
  prepared=false
else
  fail "--train-data and --test-data go together"
fi
if [ -n "$speeds" ] && [[ ! $speeds =~ ^[0-9.]+(,[0-9.]+)*$ ]]; then fail "--speeds takes numbers with commas between, not '$speeds'"; fi
if [[ ! $ngpu =~ ^[0-9]+$ ]]; then fail "--ngpu takes a number of GPUs, not '$ngpu'"; fi
sources=("$archives" "$corpus" "$train_data$test_data")
mapfile -t sources < <(printf '%s\n' "${sources[@]}" | grep .)
if [ ${#sources[@]} -gt 1 ]; then fail "--archives, --corpus, and --train-data with --test-data: give one of these"; fi
if [ -n "$num_augmented" ] && [ -z "$musan$rirs$speeds" ]; then fail "--num-augmented goes with --musan, --rirs or --speeds"; fi
if [ "$prepared" = false ]; then
  lists=${lists:-$storage/voxceleb_lists}
  IFS=, read -r -a roots <<<"${corpus:-$storage/unpacked}"
  train_data=$data/${train}_dev
  if [[ ,$eval, == *,o,* ]]; then test_data=$data/vox1_o; fi
  if [[ ! $eval =~ ^o(,o)*$ ]]; then test_data+=${test_data:+,}$data/vox1; fi
fi
augmentation=() network_data=$train_data
if [ -n "$musan" ]; then augmentation+=(--noises "$data/musan_noise" --music "$data/musan_music" --babble "$data/musan_speech"); fi
if [ -n "$rirs" ]; then augmentation+=(--rirs "$data/rirs"); fi
if [ -n "$speeds" ]; then augmentation+=(--speeds "$speeds"); fi
if [ ${#augmentation[@]} -gt 0 ]; then
  if [ "$pipes" = true ]; then fail "--pipes true does not go with --musan, --rirs and --speeds: noise is planned by lengths, which pipes do not tell"; fi
  network_data=$data/$(basename "$train_data")${musan:+_musan}${rirs:+_rirs}${speeds:+_${speeds//,/+}}${num_augmented:+_$num_augmented}
  if [ "$augment_seed" != 1 ]; then network_data+=_seed$augment_seed; fi
  augmentation+=(--seed "$augment_seed" ${num_augmented:+--number "$num_augmented"})
fi
copies=${network_data}_copies

# The folders of stage 0, unpacked to the end.
need_roots() {
  local begun
  need 0 "${roots[@]}"
  if [ -n "$corpus" ]; then return; fi
  for begun in "$storage"/unpacked/*/.begun; do
    if [ -e "$begun" ]; then need 0 "${begun%.begun}.done"; fi
  done
}

# Where what lies encoded below the folder $1 is decoded to, a folder for each, of whatever path; is there any?
decoded() { printf '%s' "$storage/decoded/$(basename "$1")-$(cksum <<<"$1" | cut -d ' ' -f 1)"; }
has_encoded() {
  [ -n "$(find -L "$1" \( -iname '*.m4a' -o -iname '*.mp4' -o -iname '*.aac' -o -iname '*.webm' -o -iname '*.opus' \) -print -quit)" ]
}
