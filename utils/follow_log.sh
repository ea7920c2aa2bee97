# shellcheck shell=bash
# Sourced by a step that runs one long job.

# follow_log LOG PATTERN: until stop_following, or the end of the step, show the lines that match as the job writes them.
follow_log() {
  local known
  mkdir -p "$(dirname "$1")"
  read -ra known < <(stat -c '%i %s' "$1" 2>/dev/null) || true
  exec {_following}> >(exec python3 -m spk.bin.follow_log "$1" "$2" "${known[@]}")
  _follower=$!
  trap stop_following EXIT
}

# stop_following: after the job; returns when all its lines are shown, so that what the step says comes after them.
stop_following() {
  trap - EXIT
  exec {_following}>&-
  wait "$_follower" || true
}
