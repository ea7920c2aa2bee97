"""Error rates by their definition: every threshold tried one by one, in exact fractions."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, pairwise


def operating_points(targets: list[float], nontargets: list[float]) -> list[tuple[Fraction, Fraction]]:
    """(miss rate, false-alarm rate) when scores >= threshold are accepted, from 'accept all' to 'reject all'."""
    thresholds = [*sorted({*targets, *nontargets}), float("inf")]
    return [
        (
            Fraction(sum(score < threshold for score in targets), len(targets)),
            Fraction(sum(score >= threshold for score in nontargets), len(nontargets)),
        )
        for threshold in thresholds
    ]


def crossing(a: tuple[Fraction, Fraction], b: tuple[Fraction, Fraction]) -> Fraction | None:
    """The rate where the segment from a to b meets the line of equal rates."""
    before, after = a[0] - a[1], b[0] - b[1]
    if before == after or before * after > 0:
        return a[0] if before == after == 0 else None
    return a[0] + (b[0] - a[0]) * before / (before - after)


def naive_eer(targets: list[float], nontargets: list[float]) -> Fraction:
    points = operating_points(targets, nontargets)
    rates = [crossing(a, b) for a, b in pairwise(points)]
    return next(rate for rate in rates if rate is not None)


def naive_rocch_eer(targets: list[float], nontargets: list[float]) -> Fraction:
    """Mixing any two thresholds at random reaches any point between theirs; the best of these on the line."""
    points = operating_points(targets, nontargets)
    rates = [crossing(a, b) for a, b in combinations(points, 2)]
    return min(rate for rate in rates if rate is not None)


def naive_min_dcf(targets: list[float], nontargets: list[float], p_target: float, c_miss: float, c_fa: float) -> float:
    points = operating_points(targets, nontargets)
    costs = [c_miss * p_target * float(miss) + c_fa * (1 - p_target) * float(alarm) for miss, alarm in points]
    return min(costs) / min(c_miss * p_target, c_fa * (1 - p_target))
