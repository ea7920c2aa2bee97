# shellcheck shell=bash disable=SC2034,SC2154 # the recipe sets the options, and uses the arrays
# Sourced by a run.sh that takes prepared data directories: makes arrays of --train-data, --test-data, --enroll-data, --trials.
#
# train_sets: the training directories; test_sets: the test directories; enroll_sets: for each the one that its enrolled models are in (itself without --enroll-data).
# trial_lists, list_enroll, list_test: for each trial list its file and its two directories; list_models: where the enrolled
# side is models, the file that says of which utterances: models_core in the enrolled directory for trials_core-multi, or "".
_need_directory() {
  if [ -z "$2" ] || [ ! -f "$2/utt2spk" ]; then
    echo "$0: error: --$1 '$2' is no data directory (with wav.scp, utt2spk, spk2utt)" >&2
    exit 1
  fi
}

IFS=, read -r -a train_sets <<<"$train_data"
IFS=, read -r -a test_sets <<<"$test_data"
IFS=, read -r -a enroll_sets <<<"${enroll_data:-$test_data}"
for _set in "${train_sets[@]:-}"; do _need_directory train-data "$_set"; done
for _set in "${test_sets[@]:-}"; do _need_directory test-data "$_set"; done
for _set in "${enroll_sets[@]:-}"; do _need_directory enroll-data "$_set"; done
if [ ${#enroll_sets[@]} -ne ${#test_sets[@]} ]; then
  echo "$0: error: --enroll-data has ${#enroll_sets[@]} directories and --test-data ${#test_sets[@]}; give one for each" >&2
  exit 1
fi
_same=$(printf '%s\n' "${train_sets[@]}" "${test_sets[@]}" "${enroll_sets[@]}" | sort -u | sed 's:.*/::' | sort | uniq -d)
if [ -n "$_same" ]; then
  echo "$0: error: two data directories are named '${_same%%$'\n'*}'; embeddings go by that name, so rename one" >&2
  exit 1
fi
if [ -n "$trials" ] && [ ${#test_sets[@]} -gt 1 ]; then
  echo "$0: error: --trials goes with one test directory; else put the lists into the directories as trials or trials_<name>" >&2
  exit 1
fi

trial_lists=() list_enroll=() list_test=() list_models=()
for _i in "${!test_sets[@]}"; do
  if [ -n "$trials" ]; then
    IFS=, read -r -a _lists <<<"$trials"
  else
    _lists=("${test_sets[_i]}"/trials_*)
    if [ ! -e "${_lists[0]}" ]; then
      _lists=("${test_sets[_i]}/trials")
    elif [ -e "${test_sets[_i]}/trials" ]; then
      _lists=("${test_sets[_i]}/trials" "${_lists[@]}")
    fi
  fi
  for _list in "${_lists[@]}"; do
    if [ ! -f "$_list" ]; then
      echo "$0: error: no trial list $_list (lines: enroll test target|nontarget); name one with --trials" >&2
      exit 1
    fi
    trial_lists+=("$_list") list_enroll+=("${enroll_sets[_i]}") list_test+=("${test_sets[_i]}")
    _models=${enroll_sets[_i]}/models_$(basename "$_list" | sed 's/^trials_//; s/-.*//')
    if [ -e "$_models" ]; then list_models+=("$_models"); else list_models+=(""); fi
  done
done
