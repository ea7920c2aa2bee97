"""The numbers that every results table shows, from one sort of the scores."""

from __future__ import annotations

from typing import Any

from spk.metrics.act_dcf import act_dcf_from
from spk.metrics.cllr import cllr_from
from spk.metrics.corners import corners
from spk.metrics.eer import eer_from
from spk.metrics.error_rates import ErrorRates
from spk.metrics.min_cllr import min_cllr_from
from spk.metrics.min_dcf import min_dcf_from
from spk.metrics.rocch_eer import rocch_eer_from

# Prior probabilities of a target at which the detection costs are reported: VoxCeleb's, VoxSRC's and NIST's.
P_TARGETS = ("0.01", "0.05", "0.001")


def summary(rates: ErrorRates) -> dict[str, Any]:
    """Names and values: rates as fractions, Cllr in bits, {p_target: value} for the costs (both 1).

    cllr and act_dcf read the scores as natural-log likelihood ratios, the others only their order; cllr may be
    infinite.
    """
    points = corners(rates)
    return {
        "num_targets": rates.num_targets,
        "num_nontargets": rates.num_nontargets,
        "eer": eer_from(rates),
        "rocch_eer": rocch_eer_from(points),
        "min_dcf": {p_target: min_dcf_from(points, float(p_target)) for p_target in P_TARGETS},
        "min_cllr": min_cllr_from(points),
        "cllr": cllr_from(rates),
        "act_dcf": {p_target: act_dcf_from(rates, float(p_target)) for p_target in P_TARGETS},
    }
