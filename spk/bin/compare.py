"""Is system B better than system A? A paired test on the trials that both have scored.

Usage: python3 -m spk.bin.compare [options] SCORES_A SCORES_B TRIALS
Files as of python3 -m spk.bin.metrics. For each number: A's, B's, their difference B - A (negative: B is better), its
95 % interval and the two-sided p-value of 'no difference', both by resampling speakers (docs/metrics.md).
  --utt2spk FILE[,FILE]   who speaks each utterance (utt2spk beside TRIALS, and beside the models)
  --enroll-models FILE    the utterances of the models that TRIALS names (as SCORES_A.json says)
  --draws N               how often to resample (1000)
  --seed N                of the resampling (1)
  --json FILE             write the numbers there, too; rates as fractions
"""

from __future__ import annotations

from typing import Any

from spk.bin.command import command
from spk.bin.trial_speakers import find_speakers, parse_options
from spk.data.files import write_json
from spk.data.scores import read_scores, scores_of_trials
from spk.data.trials import read_trials
from spk.errors import InputError
from spk.metrics.json_numbers import without_infinities
from spk.metrics.paired import compare
from spk.report.speakers import enroll_models_of

LABELS = {"eer": "EER, %", "min_dcf": "minDCF", "min_cllr": "minCllr", "cllr": "Cllr", "act_dcf": "actDCF"}


@command
def main() -> None:
    options = parse_options("compare", __doc__, ["json"], ["scores_a", "scores_b", "trials"])
    trials = read_trials(options.trials)
    systems = [
        scores_of_trials(trials, read_scores(path), options.trials, path)
        for path in (options.scores_a, options.scores_b)
    ]
    enroll_models = options.enroll_models or enroll_models_of(options.scores_a)
    speakers = find_speakers(options.utt2spk, options.trials, trials, enroll_models)
    if speakers is None:
        raise InputError(f"{options.trials}: the test needs the speakers of its utterances; give --utt2spk")
    result = compare(*systems, trials.is_target, *speakers, num_draws=options.draws, seed=options.seed)
    print(f"{len(trials)} trials of {result['num_speakers']} speakers")
    print(f"{'':14s} {'A':>9s} {'B':>9s} {'B - A':>9s} {'95 % interval':>20s} {'p':>7s}")
    for name, label in LABELS.items():
        values = result[name]
        if "p" in values:
            print(line(label, values, 100 if name == "eer" else 1))
        else:
            for p_target, of_prior in values.items():
                print(line(f"{label}({p_target})", of_prior, 1))
    if options.json:
        write_json(options.json, without_infinities(result), allow_nan=False)


def line(label: str, values: dict[str, Any], factor: float) -> str:
    numbers = [values[key] for key in ("a", "b", "difference")]
    shown = ["-" if number is None else f"{factor * number:.4f}" for number in numbers]
    start = f"{label:14s} {' '.join(f'{text:>9s}' for text in shown)}"
    if values["p"] is None:
        return start
    p = f"{values['p']:.4f}" if values["p"] >= 1e-4 else "<0.0001"
    low, high = (f"{factor * limit:.4f}" for limit in values["interval"])
    return f"{start} {f'{low} to {high}':>20s} {p:>7s}"


if __name__ == "__main__":
    main()
