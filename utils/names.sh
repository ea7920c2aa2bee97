# shellcheck shell=bash
# Sourced by a run.sh: names of outputs after what they are made from, so that different runs never share a folder.

# The last parts of the paths in a list: `a/wsj,b/an4/` -> wsj+an4
name_of_folders() {
  local rest=$1, path name=""
  while [ -n "$rest" ]; do
    path=${rest%%,*} rest=${rest#*,}
    name+=${name:+"+"}$(basename "$path")
  done
  printf '%s' "$name"
}

# A config and what the command line changes of it: `conf/resnet34_aam.yaml --loss.margin 0.3` -> resnet34_aam_loss.margin=0.3
name_of_system() {
  local name
  name=$(basename "$1" .yaml)
  shift
  while [ $# -ge 2 ]; do
    name+=_${1#--}=${2//[^A-Za-z0-9.+-]/-}
    shift 2
  done
  printf '%s' "$name"
}

# A test set and one of its lists: `data/vox1 data/vox1/trials_hard` -> vox1_hard; its list `trials` goes by the set's name.
name_of_trials() {
  local set list
  set=$(basename "$1") list=$(basename "$2")
  list=${list#trials}
  printf '%s' "$set${list:+_${list#_}}"
}
