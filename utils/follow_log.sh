# shellcheck shell=bash
# Sourced by a step that runs one long job.

# follow_log LOG PATTERN: until the step ends, show the lines that match as the job writes them into its log.
follow_log() {
  mkdir -p "$(dirname "$1")"
  tail -n 0 -F --pid=$$ "$1" > >(grep --line-buffered -E "$2" >&2) 2>/dev/null &
  _follower=$!
  trap 'kill "$_follower" 2>/dev/null || true' EXIT
}
