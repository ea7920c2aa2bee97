# shellcheck shell=bash disable=SC2034,SC2154 # backends, lda_dim and top_n are the recipe's own options
# Sourced by a run.sh: what --backends, --lda-dim and --top-n mean. A name in --backends is a row of the table:
#   own                what the system's config names (evaluation.backend)
#   cosine, euclidean  these, whatever the config names
#   lda_cosine         cosine after linear discriminant analysis
#   plda               LDA, length normalisation and PLDA
# Behind each of them may stand _z, _t, _s or _as: its scores normalised by those against the training speakers.
#   calibrated_own     log-likelihood ratios, by logistic regression on the training speakers that training held out

# Choose the system folder $1, whose own back-end is $2 (or it has none: ""), for the functions below. Sets rows, each once:
# own stands for $2. $3: the trained network whose held-out speakers calibrate; without it calibrated_own is own.
use_system() {
  local name base norm
  for name in lda_dim top_n; do
    if [ "${!name}" != auto ] && ! [[ ${!name} =~ ^[1-9][0-9]*$ ]]; then
      echo "$0: error: --${name//_/-} takes a whole number above 0 or auto, not '${!name}'" >&2
      exit 1
    fi
  done
  system=$1 own=$2 network=${3:-} rows=()
  for name in ${backends//,/ }; do
    norm=$(norm_of "$name")
    base=${name%"$norm"}
    case $base in
      cosine | euclidean | lda_cosine | plda) ;;
      own) if [ -z "$own" ]; then _unknown_row "$name"; fi ;;
      calibrated_own)
        if [ -n "$norm" ] || [ -z "$own" ]; then _unknown_row "$name"; fi
        if [ "$own" = plda ]; then
          echo "$0: error: --backends: calibrated_own goes with cosine and euclidean: PLDA learns from the held-out speakers, too" >&2
          exit 1
        fi
        _add_row own
        if [ -z "$network" ]; then continue; fi
        ;;
      *) _unknown_row "$name" ;;
    esac
    if [ "$base" = "$own" ]; then base=own; fi
    _add_row "$base$norm"
  done
  if [ ${#rows[@]} -eq 0 ]; then
    echo "$0: error: --backends is empty; give at least ${own:+own or }plda" >&2
    exit 1
  fi
}

_add_row() {
  if [[ " ${rows[*]} " != *" $1 "* ]]; then rows+=("$1"); fi
}

_unknown_row() {
  local known=${own:+own, calibrated_own, }
  echo "$0: error: --backends: no back-end is named '$1'; known: ${known}cosine, euclidean, lda_cosine, plda, also with _z, _t, _s or _as" >&2
  exit 1
}

# plda_as -> _as; plda -> nothing
norm_of() {
  case $1 in
    *_z | *_t | *_s | *_as) printf '_%s' "${1##*_}" ;;
  esac
}

# Does any row learn from the training speakers' embeddings?
rows_learn() {
  local row
  for row in "${rows[@]/own/$own}"; do
    case $row in
      cosine | *euclidean | calibrated_*) ;;
      *) return 0 ;;
    esac
  done
  return 1
}

# Is there a row that is calibrated? Then stage 4 makes the data directory $system/held_out and embeds it.
rows_calibrate() {
  [[ " ${rows[*]} " == *" calibrated_own "* ]]
}

# The score files of the trials $2 of test directory $1, one for each row.
row_scores() {
  local row
  for row in "${rows[@]/own/$own}"; do echo "$system/scores_$(name_of_trials "$1" "$2")_$row"; done
}

# Train what the rows need on the data directory $1 of the training speakers.
train_backends() {
  local row embeddings held_out
  embeddings=$system/embeddings_$(basename "$1")
  for row in "${rows[@]/own/$own}"; do
    case $row in
      lda_cosine*) train_lda --lda-dim "$lda_dim" "$1" "$embeddings" "$system/backend_lda" ;;
      plda*) train_plda --lda-dim "$lda_dim" "$1" "$embeddings" "$system/backend_plda" ;;
      calibrated_*)
        held_out=$system/embeddings_held_out
        score "$system/held_out/trials" "$held_out" "$held_out" "$system/held_out/scores"
        train_calibration "$system/held_out/trials" "$system/calibration" "$system/held_out/scores"
        ;;
    esac
  done
}

# --top-n, or what auto stands for with the training speakers of data directory $1: 300, but at most a third of them.
cohort_size() {
  local size=$top_n
  if [ "$size" = auto ]; then
    size=$(($(wc -l <"$1/spk2utt") / 3))
    if [ "$size" -gt 300 ]; then size=300; fi
    if [ "$size" -lt 2 ]; then size=2; fi
  fi
  echo "$size"
}

# A file with the first utterance of each speaker of data directory $1, a cohort for PLDA: it scores one utterance against
# one, and a mean of many is not what it takes a single one for.
one_utterance_each() {
  local file=$system/one_utterance_each
  awk '{print $1, $2}' "$1/spk2utt" >"$file.partial"
  if cmp -s "$file.partial" "$file"; then rm "$file.partial"; else mv "$file.partial" "$file"; fi
  echo "$file"
}

# Score a list by every row: training speakers' data directory, trials, data directories of the enrolled side and the tests, and
# perhaps the file of the enrolled models.
score_by_rows() {
  local train=$1 trials=$2 enroll=$3 test=$4 models=${5:-} row norm options scores
  scores=$system/scores_$(name_of_trials "$test" "$trials")
  for row in "${rows[@]}"; do
    if [ "$row" = calibrated_own ]; then
      calibrate "$system/calibration" "$trials" "${scores}_calibrated_$own" "${scores}_$own"
      continue
    fi
    norm=$(norm_of "$row")
    case ${row%"$norm"} in
      own) options=() ;;
      lda_cosine) options=(--backend cosine --backend-dir "$system/backend_lda") ;;
      *) options=(--backend "${row%"$norm"}") ;;
    esac
    row=${row/own/$own}
    if [ "${row%"$norm"}" = plda ]; then options+=(--backend-dir "$system/backend_plda"); fi
    if [ -n "$norm" ]; then
      options+=(--norm "${norm#_}" --cohort "$system/embeddings_$(basename "$train")")
      case $row in
        plda*) options+=(--cohort-models "$(one_utterance_each "$train")") ;;
        *) options+=(--cohort-models "$train/spk2utt") ;;
      esac
    fi
    if [ -n "$models" ]; then options+=(--enroll-models "$models"); fi
    if [ "$norm" = _as ]; then options+=(--top-n "$(cohort_size "$train")"); fi
    score "${options[@]}" "$trials" "$system/embeddings_$(basename "$enroll")" "$system/embeddings_$(basename "$test")" "${scores}_$row"
  done
}
