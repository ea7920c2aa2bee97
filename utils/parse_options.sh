# shellcheck shell=bash
# Sourced by a script after it has set its options as variables with their defaults:
#   nj=4 use_gpu=true cmd=run
#   . parse_options.sh
# Then `--nj 8` and `--use-gpu=false` set them. Values are stored as they are and never evaluated. A default of true or
# false makes a switch, which takes true or false. Names in lower case are options; names in capitals and arrays are not.
# A script that sets the array `overrides=()` before collects dotted options in it: `--loss.margin 0.3` adds these two words.
# Options come before the positional arguments, which are left in "$@"; `--` ends the options. `--help` prints the script's
# head comment. Afterwards the script may call `usage_error TEXT`: TEXT and the usage line on stderr, exit status 1.

# Job engines end when the outermost script is gone (spk/jobs/caller.py).
if [ -z "${SPK_SCRIPT:-}" ]; then export SPK_SCRIPT="$$ $HOSTNAME"; fi

# The comment at the top of the calling script, without its marks.
_options_help() {
  local script=$0 line
  # Called by a relative path, and since then changed into its own folder.
  [ -r "$script" ] || script=./${0##*/}
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in
      '#!'* | '# shellcheck '*) ;;
      '# '*) printf '%s\n' "${line#'# '}" ;;
      '#') echo ;;
      *) break ;;
    esac
  done <"$script"
}

_options_error() {
  echo "${0##*/}: error: $1" >&2
  exit 1
}

usage_error() {
  echo "${0##*/}: error: $1" >&2
  _options_help | grep -m 1 '^Usage:' >&2 || true
  echo "More: $0 --help" >&2
  exit 1
}

# Has the script set a variable (not an array) of this name?
_options_known() {
  [[ $1 =~ ^[a-z][a-z0-9_]*$ && -n ${!1+set} && ${!1@a} != *[aA]* ]]
}

# The script's options as a user writes them; variables that came in from the environment are left out.
_options_list() {
  local _options_name
  for _options_name in $(compgen -v | grep '^[a-z]'); do
    if _options_known "$_options_name" && [[ ${!_options_name@a} != *x* ]]; then printf ' --%s' "${_options_name//_/-}"; fi
  done
}

while [ $# -gt 0 ]; do
  case $1 in
    --help | -h)
      _options_help
      exit 0
      ;;
    --) break ;;
    --*) ;;
    -?*) _options_error "unknown option $1: options begin with two dashes (see --help)" ;;
    *) break ;;
  esac
  _options_flag=${1%%=*}
  _options_name=${_options_flag#--}
  if [[ $_options_name =~ ^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z0-9_-]+)+$ && $(declare -p overrides 2>&1) == 'declare -a'* ]]; then
    _options_kind=dotted
  else
    _options_kind=variable
    _options_name=${_options_name//-/_}
    _options_known "$_options_name" || _options_error "unknown option $_options_flag; there are:$(_options_list)"
  fi
  if [[ $1 == *=* ]]; then
    _options_value=${1#*=}
    shift
  else
    [ $# -ge 2 ] || _options_error "option $1 needs a value"
    [[ $2 != --* ]] || _options_error "option $1 needs a value, but $2 follows (if that is the value, write $1=$2)"
    _options_value=$2
    shift 2
  fi
  if [ "$_options_kind" = dotted ]; then
    overrides+=("$_options_flag" "$_options_value")
    continue
  fi
  if [[ ${!_options_name} == true || ${!_options_name} == false ]] && [[ $_options_value != true && $_options_value != false ]]; then
    _options_error "option $_options_flag takes true or false, not '$_options_value'"
  fi
  printf -v "$_options_name" '%s' "$_options_value"
done

if [ "${1-}" = -- ]; then
  shift
else
  for _options_value in "$@"; do
    case $_options_value in
      --help)
        _options_help
        exit 0
        ;;
      --?*) _options_error "option $_options_value stands after '$1'; options come first (see --help)" ;;
    esac
  done
fi
unset _options_flag _options_name _options_kind _options_value
