#!/usr/bin/env bash
# Usage: validate_data_dir.sh [--no-feats] [--no-check-files] [--allow-pipes true] DATA
# Check a data directory: every kind of mistake with file, line and the command that mends it; exit status 1 if there is any.
. "$(dirname "$0")/../path.sh"
exec python3 -m spk.bin.validate_data_dir "$@"
