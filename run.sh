#!/usr/bin/env bash
# The whole recipe in one command: make the Python environment once, then run egs/mini with the options given here.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
case " $* " in
  *" --help "*) ;; # the recipe's help needs no environment
  *) "$root/utils/setup_environment.sh" ;;
esac
exec "$root/egs/mini/run.sh" "$@"
