# shellcheck shell=bash
# Sourced by run.sh, and by you before you try single steps in this folder: puts steps/, utils/ and local/ on PATH.
. "$(dirname "${BASH_SOURCE[0]}")/../../path.sh"
