#!/usr/bin/env bash
# Usage: subset_data_dir.sh [--first|--last|--shortest|--speakers|--per-spk] SOURCE N DESTINATION
#        subset_data_dir.sh --utt-list FILE | --spk-list FILE SOURCE DESTINATION
# Write a data directory with some of the utterances of another.
. "$(dirname "$0")/../path.sh"
exec python3 -m spk.bin.subset_data_dir "$@"
