#!/usr/bin/env bash
# Usage: ivector.sh [--corpus DIR[,DIR...]] [options of ../voxceleb/ivector.sh]
# The i-vector system of egs/voxceleb, at a size for minutes on a CPU, on the same speakers and trials as run.sh.
#   --corpus DIR[,DIR...]  folders of real speech, as for run.sh (default: the speech that espeak-ng speaks)
#   --data DIR             data directories (default data/<corpus>_mfcc)
#   --exp DIR              models, i-vectors, scores and results (default exp/<corpus>/ivector)
#   --num-gauss N          Gaussians of the UBM (default 256)
#   --ivector-dim N        dimensions of an i-vector (default 100)
#   --backends NAME,...    rows of the table (default cosine,lda_cosine,plda,plda_as)
#   --lda-dim N            dimensions that lda_cosine and plda keep (default auto)
#   --top-n N              training speakers that normalise with _as, those that score highest (default auto: 300, at most a third)
#   --stage N, --stop-stage M, --seed N, --nj N (default 2), --threads N (default 2), --ngpu N (default 0), --cmd CMD
set -euo pipefail
stage=0 stop_stage=7
corpus="" data="" exp="" num_gauss=256 ivector_dim=100 backends=cosine,lda_cosine,plda,plda_as lda_dim=auto top_n=auto
seed=1 nj=2 threads=2 ngpu=0 cmd=""
. "$(dirname "$0")/path.sh"
. parse_options.sh
. stages.sh
. names.sh
. enter_recipe.sh corpus data exp
name=$(name_of_folders "${corpus:-corpus/espeak}")
data=${data:-data/${name}_mfcc}
exp=${exp:-exp/$name/ivector}

if [ "$stage" -le 1 ]; then
  prepare=(--stage "$stage" --stop-stage $((stop_stage < 1 ? stop_stage : 1)) --data "$data")
  ./run.sh "${prepare[@]}" ${corpus:+--corpus "$corpus"}
  stage=2
fi
if [ "$stop_stage" -le 1 ]; then exit 0; fi
need 1 "$data/train/utt2spk"
tests=$(printf '%s,' "$data"/test_*)
../voxceleb/ivector.sh --train-data "$data/train" --test-data "${tests%,}" --exp "$exp" \
  --num-gauss "$num_gauss" --ivector-dim "$ivector_dim" --backends "$backends" --lda-dim "$lda_dim" --top-n "$top_n" \
  --stage "$stage" --stop-stage "$stop_stage" --seed "$seed" --nj "$nj" --threads "$threads" --ngpu "$ngpu" --cmd "$cmd"
