# shellcheck shell=bash
# Sourced by a step: adds to its `inputs`, words for `stamp`, what stands for the content of a folder.

# add_embeddings ROLE DIR: the stamp of the step that made DIR. Where it comes from elsewhere, embedding.scp and its arks:
# the scp alone stays as it is when embeddings change, for each begins where its predecessor did.
add_embeddings() {
  inputs+=(--value "$1=$2" --file)
  if [ -f "$2/.done" ]; then
    inputs+=("$2/.done")
  else
    inputs+=("$2/embedding.scp" --value "$1_arks=$(_sizes_and_times "$2/embedding.scp")")
  fi
}

# add_backend DIR: the model itself, which may also be Kaldi's, or lie among embeddings.
add_backend() {
  local name
  for name in mean.vec transform.mat plda plda.json; do
    if [ -f "$1/$name" ]; then inputs+=(--file "$1/$name"); fi
  done
}

# A digest of the names, sizes and times of change of the arks that the scp $1 names.
_sizes_and_times() {
  if [ ! -f "$1" ]; then return; fi
  awk '{ sub(/^[^ \t]+[ \t]+/, ""); sub(/(:[0-9]+)?[ \t\r]*$/, ""); if (!seen[$0]++) print }' "$1" |
    { xargs -r -d '\n' stat -L -c '%n %s %.Y' -- 2>/dev/null || true; } | sha256sum
}
