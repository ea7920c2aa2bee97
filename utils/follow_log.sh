# shellcheck shell=bash
# Sourced by a step that runs one long job.

# follow_log LOG PATTERN: until stop_following, show the lines that match as the job writes them into its log.
follow_log() {
  mkdir -p "$(dirname "$1")"
  tail -f --pid=$$ /dev/null & # while it lives there may be more lines; gone it is with the step, even with a killed one
  _job_runs=$!
  tail -n 0 -F -s 0.1 --pid="$_job_runs" "$1" 2>/dev/null | { grep --line-buffered -E "$2" >&2 || true; } &
  _follower=$!
  trap stop_following EXIT
}

# stop_following: after the job; returns when all its lines are shown, so that what the step says comes after them.
stop_following() {
  kill "$_job_runs" 2>/dev/null || true
  wait "$_follower" 2>/dev/null || true
}
