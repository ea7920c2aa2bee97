#!/usr/bin/env bash
# Usage: compare.sh --grid FILE [options] -- --corpus DIR[,DIR...] [options of run.sh]
# Train and test all systems of a grid with all its seeds, on the same speech, and compare them in one table.
#   --grid FILE       the systems: conf/grids/objectives.yaml, conf/grids/am_dam.yaml, or one of yours (spk/report/grid.py)
#   --systems NAME,...  these alone, and the reference
#   --exp DIR         has a folder for each run, and the table in DIR/report (default exp/<name of the grid>)
#   --report DIR      the table here, when several grids share runs (default <exp>/report)
#   --cmd CMD         who runs the runs (default: run, on this machine)
#   --nj N            runs at once (default 1)
#   --draws N         of speakers, for intervals and tests (default 1000)
#   --only-status BOOL  true: say how far each run is and about how long the rest takes (default false)
# What follows `--` goes to run.sh for each of them. Run again, it carries on.
set -euo pipefail
grid="" systems="" exp="" report="" from=$PWD cmd=run nj=1 draws=1000 only_status=false
. "$(dirname "$0")/path.sh"
. parse_options.sh
if [ -z "$grid" ]; then usage_error "it needs --grid FILE, such as --grid conf/grids/objectives.yaml"; fi
. enter_recipe.sh exp report grid
exp=${exp:-exp/$(basename "$grid" .yaml)}
compare --cmd "$cmd" --nj "$nj" --draws "$draws" --only-status "$only_status" --systems "$systems" --from "$from" --report "$report" \
  -- "$grid" "$exp" ./run.sh --with-baseline false "$@"
