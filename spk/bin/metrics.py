"""Error rates, detection costs and information of a score file, with confidence intervals.

Usage: python3 -m spk.bin.metrics [options] SCORES TRIALS
SCORES has a line 'enroll test score' for every trial, in any order; TRIALS has 'enroll test target|nontarget', or
VoxCeleb's '1|0 enroll test'. The scores must cover the trials exactly. Cllr and actDCF read the scores as natural-log
likelihood ratios, so they say something of calibrated scores only. docs/metrics.md says what each number means.
  --utt2spk FILE[,FILE]   who speaks each utterance: 95 % intervals, by resampling speakers
                          (utt2spk beside TRIALS and beside the models, where these are there)
  --enroll-models FILE    'model utterance utterance ...' lines: the models that TRIALS names, whose speakers are those
                          of their utterances (those that score was given, as SCORES.json says)
  --draws N               how often to resample (1000)
  --seed N                of the resampling (1)
  --groups FILE           'utterance group' lines, as utt2gender: the same numbers of the trials within each group, too
  --json FILE             write the numbers there, too; rates as fractions
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spk.backend.models import read_models, values_of_models
from spk.bin.command import command
from spk.bin.trial_speakers import find_speakers, parse_options
from spk.data.files import write_json
from spk.data.scores import read_scores, scores_of_trials
from spk.data.trials import Trials, read_trials, say_repeated
from spk.errors import InputError
from spk.metrics.error_rates import error_rates
from spk.metrics.json_numbers import without_infinities
from spk.metrics.speaker_bootstrap import bootstrap
from spk.metrics.summary import summary
from spk.report.speakers import enroll_models_of, read_tables

log = logging.getLogger(__name__)

Speakers = tuple[NDArray[np.int64], NDArray[np.int64]]


@command
def main() -> None:
    options = parse_options("metrics", __doc__, ["groups", "json"], ["scores", "trials"])
    trials = read_trials(options.trials)
    say_repeated(options.trials, trials)
    values = scores_of_trials(trials, read_scores(options.scores), options.trials, options.scores)
    enroll_models = options.enroll_models or enroll_models_of(options.scores)
    speakers = find_speakers(options.utt2spk, options.trials, trials, enroll_models)
    groups = read_groups(options.groups, trials, enroll_models) if options.groups else ({}, {})

    def measure(chosen: NDArray[np.bool_]) -> dict[str, Any]:
        some, is_target = values[chosen], trials.is_target[chosen]
        result = summary(error_rates(some[is_target], some[~is_target]))
        if speakers is not None:
            sides = (side[chosen] for side in speakers)
            result["intervals"] = bootstrap(some, is_target, *sides, num_draws=options.draws, seed=options.seed)
        return result

    result = measure(np.ones(len(trials), dtype=bool))
    print(table(result))
    if options.groups:
        result["groups"], result["num_trials_outside_groups"] = measure_groups(options.groups, *groups, trials, measure)
    if options.json:
        write_json(options.json, without_infinities(result), allow_nan=False)


def read_groups(path: str, trials: Trials, enroll_models: str) -> tuple[dict[str, str], dict[str, str]]:
    """{utterance or model: group} of the enrolled side and {utterance: group} of the tests.

    A model has the group that all its utterances have. Raises: InputError when no utterance of the trials has a group.
    """
    group_of = read_tables(path.split(","))
    if group_of.keys().isdisjoint(trials.utterances):
        raise InputError(f"{path}: has no group of any utterance in the trials; its lines are 'utterance group'")
    of_models = values_of_models(read_models(enroll_models), group_of)[0] if enroll_models else {}
    return {**group_of, **of_models}, group_of


def measure_groups(
    path: str,
    enroll_group_of: Mapping[str, str],
    test_group_of: Mapping[str, str],
    trials: Trials,
    measure: Callable[[NDArray[np.bool_]], dict[str, Any]],
) -> tuple[dict[str, Any], int]:
    """Print and return the numbers of the trials within each group, and how many trials are within none."""
    tables = (enroll_group_of, test_group_of)
    names = sorted({table[name] for table in tables for name in trials.utterances if name in table})
    groups = [
        np.array([names.index(table[name]) if name in table else -1 for name in trials.utterances]) for table in tables
    ]
    enroll, test = groups[0][trials.enroll], groups[1][trials.test]
    results = {}
    for index, name in enumerate(names):
        chosen = (enroll == index) & (test == index)
        num_targets = np.count_nonzero(trials.is_target[chosen])
        print(f"\n{name}")
        if 0 < num_targets < np.count_nonzero(chosen):
            results[name] = measure(chosen)
            print(table(results[name]))
        else:
            kinds = f"{num_targets} target, {np.count_nonzero(chosen) - num_targets} nontarget"
            print(f"trials         {np.count_nonzero(chosen)} ({kinds}): no error rates without both kinds")
    across, without = np.count_nonzero((enroll != test) & (enroll >= 0) & (test >= 0)), (enroll < 0) | (test < 0)
    print(f"\nin no group    {across} trials across groups, {np.count_nonzero(without)} of an utterance without group")
    if without.any():
        lacking = np.union1d(trials.enroll[enroll < 0], trials.test[test < 0])
        log.warning("%s: no group for %d of %d utterances", path, len(lacking), len(trials.utterances))
    return results, int(across + np.count_nonzero(without))


def table(result: dict[str, Any]) -> str:
    """One line a number; behind it its interval, where there are intervals."""
    intervals = result.get("intervals", {})
    num_trials = result["num_targets"] + result["num_nontargets"]
    lines = [f"trials         {num_trials} ({result['num_targets']} target, {result['num_nontargets']} nontarget)"]
    if intervals:
        lines.append(f"speakers       {intervals['num_speakers']} (intervals of {100 * intervals['level']:g} %)")

    def add(label: str, key: str, form: Callable[[float], str], unit: str = "") -> None:
        of_key, of_interval = result[key], intervals.get(key)
        if not isinstance(of_key, dict):
            of_key, of_interval = {None: of_key}, {None: of_interval}
        for p_target, value in of_key.items():
            limits = (of_interval or {}).get(p_target)
            behind = f"   {form(limits[0])} - {form(limits[1])}" if limits else ""
            name = label if p_target is None else f"{label}({p_target})"
            lines.append(f"{name:14s} {form(value)}{unit}{behind}")

    def percent(rate: float) -> str:
        return f"{100 * rate:.3f}"

    add("EER", "eer", percent, " %")
    add("EER (hull)", "rocch_eer", percent, " %")
    add("minDCF", "min_dcf", "{:.4f}".format)
    add("minCllr", "min_cllr", "{:.4f}".format, " bit")
    add("Cllr", "cllr", "{:.4f}".format, " bit")
    add("actDCF", "act_dcf", "{:.4f}".format)
    return "\n".join(lines)


if __name__ == "__main__":
    main()
