#!/usr/bin/env bash
# Usage: tests/run.sh [pytest options]
# Run all tests (or those that the options name: tests/run.sh tests/unit/data -k ark; on all cores: -n auto --dist loadfile
# --no-loadscope-reorder).
# Makes .venv when it is missing.
#
# Environment: SPK_CORPORA=DIR, corpora of real speech for the tests that need them; SPK_NO_SKIPS=1, a skipped test fails.
set -euo pipefail
cd "$(dirname "$0")/.."
utils/setup_environment.sh
. ./path.sh
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # what many small tests do at once must not fight over the cores
exec python3 -m pytest "$@"
