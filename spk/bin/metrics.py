"""Error rates of a score file: EER, convex-hull EER and minDCF.

Usage: python3 -m spk.bin.metrics [--json FILE] SCORES TRIALS
SCORES has a line 'enroll test score' for every trial, in any order; TRIALS has 'enroll test target|nontarget', or
VoxCeleb's '1|0 enroll test'. The scores must cover the trials exactly.
"""

from __future__ import annotations

import argparse
import json

from spk.bin.command import command
from spk.data.files import whole_file
from spk.data.scores import read_scores, scores_of_trials
from spk.data.trials import read_trials
from spk.metrics.error_rates import error_rates
from spk.metrics.summary import summary


@command
def main() -> None:
    parser = argparse.ArgumentParser(
        prog="metrics", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", metavar="FILE", help="write the numbers there, too; rates as fractions")
    parser.add_argument("scores")
    parser.add_argument("trials")
    options = parser.parse_args()
    trials = read_trials(options.trials)
    values = scores_of_trials(trials, read_scores(options.scores), options.trials, options.scores)
    result = summary(error_rates(values[trials.is_target], values[~trials.is_target]))
    print(f"trials         {len(trials)} ({result['num_targets']} target, {result['num_nontargets']} nontarget)")
    print(f"EER            {100 * result['eer']:.3f} %")
    print(f"EER (hull)     {100 * result['rocch_eer']:.3f} %")
    for p_target, value in result["min_dcf"].items():
        print(f"minDCF({p_target}){' ' * (7 - len(p_target))}{value:.4f}")
    if options.json:
        with whole_file(options.json) as file:
            json.dump(result, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
