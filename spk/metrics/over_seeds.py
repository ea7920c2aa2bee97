"""Is one way to train better than another? Systems trained with several seeds, judged on the same trials.

A number of one run has two causes beside the objective: which speakers were at hand to test with, and which seed drew
weights and batches. A mean over seeds m has the variance
    speakers: that of the mean over seeds in draws of speakers, the same draws for all runs (speaker_bootstrap.py)
    seeds:    s^2 / n, s^2 the variance of the n seeds' numbers
and a difference of two means both of these, where what is hard for both systems cancels out of the first. The degrees
of freedom of the sum are Satterthwaite's (An approximate distribution of estimates of variance components, Biometrics
Bulletin 2, 1946). With one seed the second part is not known, and what is said holds for these networks alone;
beside a system of several seeds it is not said at all.
p-values of several systems against one reference are Holm's (A simple sequentially rejective multiple test procedure,
Scand. J. Statist. 6, 1979): the chance that any of them is called different when none is stays below the level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from spk.errors import InputError
from spk.metrics.speaker_bootstrap import Draws, draw_metrics, joined
from spk.metrics.weighted_trials import METRICS, nested


def compare_over_seeds(
    runs: Mapping[str, Sequence[NDArray[np.float64]]],
    reference: str,
    is_target: NDArray[np.bool_],
    enroll_speakers: NDArray[np.int64],
    test_speakers: NDArray[np.int64],
    num_draws: int = 1000,
    seed: int = 1,
    level: float = 0.95,
) -> dict[str, dict[str, Any]]:
    """`runs`: {system: the scores [N] of each of its seeds}; speakers [N] are whole numbers, one for each speaker.

    Returns: ready for JSON, {system: {"num_seeds", "eer": {"mean", "deviation", "values", "interval", "difference",
    "difference_interval", "p", "p_holm"}, and so for min_dcf {p_target: ...}, min_cllr, cllr, act_dcf}}. `deviation` is
    that over seeds, None of one seed; differences are to the reference, negative where the system is better, and None
    of the reference itself; None, too, is what no draw can tell.
    Raises: InputError for an unknown reference, and as `bootstrap`.
    """
    check_reference(reference, runs)
    trials = is_target, enroll_speakers, test_speakers
    draws = {name: [draw_metrics([one], *trials, num_draws, seed) for one in seeds] for name, seeds in runs.items()}
    return compare_draws(draws, reference, level)


def compare_draws(
    runs: Mapping[str, Sequence[Draws]], reference: str, level: float = 0.95
) -> dict[str, dict[str, Any]]:
    """compare_over_seeds of `runs`: {system: the draws of each of its seeds}, all made of the same trials and seed."""
    check_reference(reference, runs)
    names = [name for name, seeds in runs.items() for _ in seeds]
    draws = joined([one for seeds in runs.values() for one in seeds])
    places = {name: [place for place, own in enumerate(names) if own == name] for name in runs}
    result = {
        name: {"num_seeds": len(own), **nested(each_metric(draws, own, places[reference], name == reference, level))}
        for name, own in places.items()
    }
    for metric, p_target in METRICS:
        cells = [own[metric] if p_target is None else own[metric][p_target] for own in result.values()]
        correct([cell for cell in cells if cell["p"] is not None])
    return result


def check_reference(reference: str, runs: Mapping[str, Any]) -> None:
    if reference not in runs:
        raise InputError(f"the reference {reference!r} has no scores; there are {', '.join(runs)}")


def each_metric(
    draws: Draws, own: list[int], reference: list[int], is_reference: bool, level: float
) -> list[dict[str, Any]]:
    """What compare_over_seeds says of each of METRICS; `own` and `reference` are places among the runs."""
    values, of_reference = draws.values[own], draws.values[reference]
    with np.errstate(invalid="ignore"):  # infinity less infinity
        drawn = draws.drawn[:, own].mean(axis=1)
        differences = drawn - draws.drawn[:, reference].mean(axis=1)
        errors, errors_of_difference = (draws.standard_errors(one) for one in (drawn, differences))
    found = []
    for metric in range(len(METRICS)):
        numbers = values[:, metric]
        mean = float(numbers.mean())
        cell: dict[str, Any] = {
            "mean": mean,
            "deviation": float(numbers.std(ddof=1)) if len(numbers) > 1 else None,
            "values": numbers.tolist(),
            "interval": around(mean, parts(errors[metric], draws, [numbers]), level, least=0.0),
            "difference": None,
            "difference_interval": None,
            "p": None,
            "p_holm": None,
        }
        if not is_reference:
            others = of_reference[:, metric]
            difference = mean - float(others.mean()) if np.isfinite([mean, others.mean()]).all() else None
            variances = parts(errors_of_difference[metric], draws, [numbers, others])
            cell["difference"] = difference
            if difference is not None and (len(numbers) > 1) == (len(others) > 1):
                cell["difference_interval"] = around(difference, variances, level)
                cell["p"] = p_value(difference, variances)
        found.append(cell)
    return found


def parts(error: float, draws: Draws, groups: Sequence[NDArray[np.float64]]) -> list[tuple[float, int]]:
    """(variance, its degrees of freedom) of the speakers, and of the seeds of each group that has several."""
    several = [numbers for numbers in groups if len(numbers) > 1]
    with np.errstate(invalid="ignore"):
        of_seeds = [(float(numbers.var(ddof=1)) / len(numbers), len(numbers) - 1) for numbers in several]
    return [(float(error) ** 2, draws.num_speakers - 1), *of_seeds]


def spread(variances: Sequence[tuple[float, int]]) -> tuple[float, float]:
    """(standard error, degrees of freedom) of the sum; NaN where one is not finite or all are 0."""
    total = sum(variance for variance, _ in variances)
    if not (np.isfinite(total) and total > 0):
        return float("nan"), float("nan")
    return total**0.5, total**2 / sum(variance**2 / freedom for variance, freedom in variances)


def around(
    value: float, variances: Sequence[tuple[float, int]], level: float, least: float = -np.inf
) -> list[float] | None:
    error, freedom = spread(variances)
    if not (np.isfinite(value) and np.isfinite(error)):
        return None
    reach = float(stats.t.ppf((1 + level) / 2, freedom)) * error
    return [max(value - reach, least), value + reach]


def p_value(difference: float, variances: Sequence[tuple[float, int]]) -> float | None:
    """Two-sided, of no difference."""
    error, freedom = spread(variances)
    if np.isfinite(error):
        return float(2 * stats.t.sf(abs(difference) / error, freedom))
    return 1.0 if difference == 0 else None


def correct(cells: Sequence[dict[str, Any]]) -> None:
    """Set each p_holm by all the p."""
    ordered = sorted(cells, key=lambda cell: cell["p"])
    largest = 0.0
    for rank, cell in enumerate(ordered):
        largest = max(largest, min(1.0, (len(ordered) - rank) * cell["p"]))
        cell["p_holm"] = largest
