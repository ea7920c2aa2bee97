# shellcheck shell=bash
# Sourced by steps/train_calibration and steps/calibrate: the options that say what quality measures are taken from, as
# words for the command (quality_options); what they stand for is added to the step's `inputs`, words for `stamp`.
. made_from.sh
quality_options=()
for option in enroll_data test_data enroll_dir test_dir cohort cohort_models enroll_models; do
  given=${!option}
  if [ -z "$given" ]; then continue; fi
  quality_options+=("--${option//_/-}" "$given")
  case $option in
    *_models) inputs+=(--file "$given") ;;
    *_data)
      for table in utt2num_frames utt2dur; do
        if [ -f "$given/$table" ]; then inputs+=(--file "$given/$table"); fi
      done
      ;;
    *) add_embeddings "$option" "$given" ;;
  esac
done
unset option given table
