# shellcheck shell=bash
# Sourced by a run.sh with the names of its path options: `. enter_recipe.sh corpus exp`. Goes to the recipe's folder.
#
# A relative path in an option is meant from where the user stands; when there is nothing, but there is in the recipe's
# folder, it is meant from there (`--config conf/x.yaml`). A list `a,b` is taken path by path. Paths inside the recipe's
# folder end up relative to it, so that a stage knows its inputs again whatever way they were named.
_recipe=$(cd "$(dirname "$0")" && pwd)

_recipe_path() {
  local path=$1 folder
  case $path in
    /*) ;;
    *) if [ -e "$path" ] || [ ! -e "$_recipe/$path" ]; then path=$PWD/$path; else path=$_recipe/$path; fi ;;
  esac
  if folder=$(cd "$path" 2>/dev/null && pwd); then
    path=$folder
  elif folder=$(cd "$(dirname "$path")" 2>/dev/null && pwd); then
    path=$folder/$(basename "$path")
  fi
  printf '%s' "${path#"$_recipe/"}"
}

for _name in "$@"; do
  _given=${!_name} _paths=
  while [ -n "$_given" ]; do
    _path=${_given%%,*}
    _given=${_given#"$_path"}
    _given=${_given#,}
    if [ -n "$_path" ]; then _paths+=${_paths:+,}$(_recipe_path "$_path"); fi
  done
  printf -v "$_name" '%s' "$_paths"
done
cd "$_recipe" || exit 1
