# shellcheck shell=bash
# Sourced by steps/train_calibration and steps/calibrate: the options that say what quality measures are taken from, as
# words for the command (quality_options) and as the files that they stand for (quality_inputs).
. made_from.sh
quality_options=() quality_inputs=()
for option in enroll_data test_data enroll_dir test_dir cohort cohort_models enroll_models; do
  given=${!option}
  if [ -z "$given" ]; then continue; fi
  quality_options+=("--${option//_/-}" "$given")
  case $option in
    *_models) quality_inputs+=("$given") ;;
    *_data)
      for table in utt2num_frames utt2dur; do
        if [ -f "$given/$table" ]; then quality_inputs+=("$given/$table"); fi
      done
      ;;
    *) quality_inputs+=("$(made_from "$given" embedding.scp)") ;;
  esac
done
unset option given table
