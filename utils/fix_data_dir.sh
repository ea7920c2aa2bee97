#!/usr/bin/env bash
# Usage: fix_data_dir.sh [--drop-missing-files true] DATA
# Make a data directory consistent: the utterances that every table has, sorted; originals go to DATA/.backup.
. "$(dirname "$0")/../path.sh"
exec python3 -m spk.bin.fix_data_dir "$@"
