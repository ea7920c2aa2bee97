# shellcheck shell=bash disable=SC2034,SC2154 # the recipe sets config and overrides, and uses what becomes of them
# Sourced by a run.sh: is $config with $overrides a whole and valid system?
#
# evaluation: its protocol, as extract_embeddings takes it; backend: what tables call the back-end that scores its trials.
backend=$(check_config --evaluation "$config" "${overrides[@]}")
evaluation=${backend%%$'\n'*} backend=${backend#*$'\n'}
