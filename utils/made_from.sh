# shellcheck shell=bash
# Sourced by a step, for its stamp: what stands for the content of a folder that another step made.

# made_from DIR FILE: DIR's own stamp, which says more than what DIR holds; DIR/FILE where it comes from elsewhere.
made_from() {
  if [ -f "$1/.done" ]; then echo "$1/.done"; else echo "$1/$2"; fi
}
