# shellcheck shell=bash disable=SC2154 # stage and stop_stage are the recipe's own options
# Sourced by a run.sh after parse_options.sh: `if in_stage 3 "train the network -> exp/x"; then ... fi`
for _stages_name in stage stop_stage; do
  case ${!_stages_name} in
    '' | *[!0-9]*)
      echo "$0: --${_stages_name//_/-} takes a whole number, not '${!_stages_name}'" >&2
      exit 1
      ;;
  esac
done

# True when stage $1 is to be run; then says what it makes ($2).
in_stage() {
  if [ "$stage" -gt "$1" ] || [ "$stop_stage" -lt "$1" ]; then return 1; fi
  echo "== Stage $1: $2 ($(date '+%H:%M:%S'))" >&2
}
