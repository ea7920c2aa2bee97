#!/usr/bin/env bash
# Usage: copy_data_dir.sh [--utt-prefix P] [--spk-prefix P] [--add-speaker-prefix true] SOURCE DESTINATION
# Copy a data directory, with new ids if wanted.
. "$(dirname "$0")/../path.sh"
exec python3 -m spk.bin.copy_data_dir "$@"
