#!/usr/bin/env bash
# Usage: setup_environment.sh
# Make the Python environment .venv in the repository's root, with the exact versions of requirements.txt.
#
# Nothing is done when it stands. When requirements.txt has changed since, only what differs is installed. An environment
# whose making was interrupted is made anew. Environment: SPK_PYTHON, the Python to make it from (default python3).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
made_from=$venv/.made_from  # written last: a copy of the requirements.txt that is installed
unfinished=$venv.unfinished # stands while a new environment is being made
python=${SPK_PYTHON:-python3}

if [ $# -gt 0 ]; then
  sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
  [ "$1" = --help ] && exit 0
  exit 1
fi
is_made() { [ -e "$made_from" ] && [ ! -e "$unfinished" ] && cmp -s "$root/requirements.txt" "$made_from"; }
if is_made; then exit 0; fi
if command -v flock >/dev/null; then # of two calls at once, one makes it and the other waits
  exec 9>"$venv.lock"
  flock 9
  if is_made; then exit 0; fi
fi

say() { echo "setup_environment.sh: $*" >&2; }
fail() {
  say "error: $*"
  exit 1
}

if [ -e "$unfinished" ] || [ ! -x "$venv/bin/python3" ]; then
  command -v "$python" >/dev/null || fail "$python is not installed; Python 3.10 or newer is needed"
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') ||
    fail "$python does not run (name another with SPK_PYTHON=/path/to/python3)"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "$python is Python $version; 3.10 or newer is needed (name another with SPK_PYTHON=/path/to/python3)"
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "Python's module venv is missing; install it (Debian, Ubuntu: apt-get install python3-venv)"
  say "making .venv with Python $version and the packages of requirements.txt, once: about 5.1 GB on the disk ..."
  touch "$unfinished"
  "$python" -m venv --clear "$venv"
else
  say "requirements.txt has changed, or .venv was made by other means: installing what differs ..."
  touch "$unfinished"
fi
start=$SECONDS
quiet=(--quiet) # in a log; on a terminal, a long download shows its progress
if [ -t 2 ]; then quiet=(); fi
"$venv/bin/python3" -m pip install "${quiet[@]}" --disable-pip-version-check --no-input -r "$root/requirements.txt" >&2 ||
  fail "pip could not install requirements.txt (see above); the next call tries again"
cp "$root/requirements.txt" "$made_from.partial"
mv "$made_from.partial" "$made_from"
rm -f "$unfinished"
say "the environment is ready: .venv ($((SECONDS - start)) s)"
