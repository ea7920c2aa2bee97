# shellcheck shell=bash disable=SC2034,SC2154 # the recipe sets its options, config and overrides, and uses what becomes of them
# Sourced by a run.sh: is $config with $overrides a whole and valid system?
#
# evaluation: its protocol, as extract_embeddings takes it; backend: what tables call the back-end that scores its trials;
# online: true where features are worked out of waveforms when they are needed (features.online), not made beforehand;
# begun_from: --init-from and the system that training starts from, as options of checks, or nothing.
_checked=$(check_config --evaluation "$config" "${overrides[@]}")
mapfile -t _checked <<<"$_checked"
evaluation=${_checked[0]} backend=${_checked[1]} online=${_checked[2]}
begun_from=()
if [ -n "${_checked[3]:-}" ]; then begun_from=(--init-from "${_checked[3]}"); fi

# The features of data directory $1, further options of make_feats behind it; online, the lengths of its utterances alone.
# Features that are there already are kept up to date, because they are read instead of the waveforms.
prepare_features() {
  if [ "$online" = true ] && [ ! -f "$1/feats.scp" ]; then
    compute_durations --cmd "$cpu_cmd" --nj "$nj" "$1"
  else
    make_feats --cmd "$cpu_cmd" --nj "$nj" --config "$config" "${feature_overrides[@]}" "${@:2}" "$1"
  fi
}
