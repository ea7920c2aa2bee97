"""Is one system better than another on the same trials? Differences of their metrics, intervals and p-values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from spk.metrics.speaker_bootstrap import draw_metrics, interval
from spk.metrics.weighted_trials import nested

METHOD = "difference over its standard error by resampling speakers, the same draws for both systems, t test"


def compare(
    values_a: NDArray[np.float64],
    values_b: NDArray[np.float64],
    is_target: NDArray[np.bool_],
    enroll_speakers: NDArray[np.int64],
    test_speakers: NDArray[np.int64],
    num_draws: int = 1000,
    seed: int = 1,
    level: float = 0.95,
) -> dict[str, Any]:
    """Two systems' scores [N] of the same trials; the speakers [N] are any whole numbers, one for each speaker.

    In every draw of speaker_bootstrap.py both systems have the same weights, so what is hard for both (a speaker, a
    pair) cancels out of the difference. Exchanging a and b changes only signs.
    Returns: {"method", "num_draws", "level", "num_speakers", "eer": {"a", "b", "difference": b - a,
    "interval": [low, high], "p": two-sided}, and so for min_dcf {p_target: ...}, min_cllr, cllr, act_dcf}. Interval and
    p are None where a metric is infinite, and so is the difference where it is infinite for both.
    Raises: InputError if there are no targets, no non-targets, a score is NaN, or fewer than 2 draws are asked for.
    """
    draws = draw_metrics([values_a, values_b], is_target, enroll_speakers, test_speakers, num_draws, seed)
    with np.errstate(invalid="ignore"):  # NaN for what is infinite
        errors = draws.standard_errors(draws.drawn[:, 1] - draws.drawn[:, 0])
    return {
        "method": METHOD,
        "num_draws": num_draws,
        "level": level,
        "num_speakers": draws.num_speakers,
        **nested(
            [
                compared(a, b, error, draws.num_speakers, level)
                for a, b, error in zip(*draws.values.tolist(), errors.tolist(), strict=True)
            ]
        ),
    }


def compared(a: float, b: float, error: float, num_speakers: int, level: float) -> dict[str, Any]:
    """One metric of both systems, the standard error of its difference -> what compare() says of it."""
    difference = None if np.isinf(a) and np.isinf(b) else b - a
    result = {"a": a, "b": b, "difference": difference, "interval": None, "p": None}
    if error > 0 and np.isfinite(b - a):
        result["interval"] = interval(b - a, error, num_speakers, level, "linear")
        result["p"] = float(2 * stats.t.sf(abs(b - a) / error, num_speakers - 1))
    elif a == b and np.isfinite(a):  # the same errors in every draw
        result["interval"], result["p"] = [0.0, 0.0], 1.0
    return result
