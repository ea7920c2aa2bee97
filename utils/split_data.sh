#!/usr/bin/env bash
# Usage: split_data.sh [--per-speaker] DATA N
# Split a data directory into N even parts DATA/split<N>/1..N, fewer where there are fewer utterances; prints their number.
. "$(dirname "$0")/../path.sh"
exec python3 -m spk.bin.split_data "$@"
