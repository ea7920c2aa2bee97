#!/usr/bin/env bash
# Usage: compare.sh --grid FILE --models DIR [options] -- --sitw DIR [options of run.sh]
# Test on SITW all systems of a grid with all its seeds, which egs/voxceleb/compare.sh trained, and compare them in one table.
#   --grid FILE       the systems, such as ../voxceleb/conf/grids/am_dam.yaml
#   --models DIR      where they were trained, such as ../voxceleb/exp/am_dam
#   --systems NAME,...  these alone, and the reference
#   --exp DIR         has a folder for each run, and the table in DIR/report (default exp/<name of the grid>)
#   --report DIR      the table here, when several grids share runs (default <exp>/report)
#   --cmd CMD         who runs the runs (default: run, on this machine)
#   --nj N            runs at once (default 1)
#   --draws N         of speakers, for intervals and tests (default 1000)
#   --only-status BOOL  true: say which runs are done (default false)
# What follows `--` goes to run.sh for each of them. Run again, it carries on.
set -euo pipefail
grid="" models="" systems="" exp="" report="" from=$PWD cmd=run nj=1 draws=1000 only_status=false
. "$(dirname "$0")/path.sh"
. parse_options.sh
if [ -z "$grid" ] || [ -z "$models" ]; then usage_error "it needs --grid FILE and --models DIR"; fi
. enter_recipe.sh exp report models grid
exp=${exp:-exp/$(basename "$grid" .yaml)}
compare --cmd "$cmd" --nj "$nj" --draws "$draws" --only-status "$only_status" --systems "$systems" --from "$from" --models "$models" \
  --report "$report" -- "$grid" "$exp" ./run.sh "$@"
