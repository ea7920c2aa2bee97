#!/usr/bin/env bash
# Usage: combine_data.sh DESTINATION SOURCE ...
# Join data directories into one.
. "$(dirname "$0")/../path.sh"
exec python3 -m spk.bin.combine_data "$@"
