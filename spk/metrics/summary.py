"""The numbers that every results table shows, from one sort of the scores."""

from __future__ import annotations

from typing import Any

from spk.metrics.eer import eer_from
from spk.metrics.error_rates import ErrorRates
from spk.metrics.min_dcf import min_dcf_from
from spk.metrics.rocch_eer import rocch_eer_from

# Prior probabilities of a target at which minDCF is reported: VoxCeleb's, VoxSRC's and NIST's.
P_TARGETS = ("0.01", "0.05", "0.001")


def summary(rates: ErrorRates) -> dict[str, Any]:
    """Names and values (rates as fractions) ready for JSON; min_dcf is {p_target: value}, costs 1."""
    return {
        "num_targets": rates.num_targets,
        "num_nontargets": rates.num_nontargets,
        "eer": eer_from(rates),
        "rocch_eer": rocch_eer_from(rates),
        "min_dcf": {p_target: min_dcf_from(rates, float(p_target)) for p_target in P_TARGETS},
    }
