# shellcheck shell=bash disable=SC2154 # stage and stop_stage are the recipe's own options
# Sourced by a run.sh after parse_options.sh: `if in_stage 3 "train the network: exp/x"; then need 2 data/x/feats.scp; ... fi`
if [ $# -gt 0 ]; then
  echo "$0: error: '$1' is not an option; options begin with -- (see --help)" >&2
  exit 1
fi
for _stages_name in stage stop_stage; do
  case ${!_stages_name} in
    '' | *[!0-9]*)
      echo "$0: error: --${_stages_name//_/-} takes a whole number, not '${!_stages_name}'" >&2
      exit 1
      ;;
  esac
done
if [ "$stage" -gt "$stop_stage" ]; then
  echo "$0: error: --stage $stage comes after --stop-stage $stop_stage: there is nothing to do" >&2
  exit 1
fi

# True when stage $1 is to be run; then says what it makes ($2).
in_stage() {
  if [ "$stage" -gt "$1" ] || [ "$stop_stage" -lt "$1" ]; then return 1; fi
  echo "== Stage $1: $2 ($(date '+%H:%M:%S'))" >&2
}

# End with one line when one of the files $2... is missing; stage $1 makes them.
need() {
  local made_by=$1 path
  shift
  for path in "$@"; do
    if [ ! -e "$path" ]; then
      echo "$0: error: $path is missing; run stage $made_by first (--stage $made_by)" >&2
      exit 1
    fi
  done
}
