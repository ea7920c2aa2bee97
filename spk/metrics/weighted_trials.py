"""The metrics of one system when every trial counts a whole number of times: what each draw of a bootstrap computes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spk.metrics.act_dcf import bayes_threshold
from spk.metrics.cllr import bits
from spk.metrics.corners import corners
from spk.metrics.eer import eer_from
from spk.metrics.error_rates import ErrorRates, error_rates
from spk.metrics.min_cllr import min_cllr_from
from spk.metrics.min_dcf import detection_weights, min_dcf_from
from spk.metrics.summary import P_TARGETS

# The order of the metrics in an array of them.
METRICS = (
    ("eer", None),
    *(("min_dcf", p_target) for p_target in P_TARGETS),
    ("min_cllr", None),
    ("cllr", None),
    *(("act_dcf", p_target) for p_target in P_TARGETS),
)


class WeightedTrials:
    """Scores [N] sorted once, targets [T] and non-targets [U] apart, so that other weights cost two cumulative sums.

    `target_order` [T] and `nontarget_order` [U] are indices of trials, scores ascending; weights come in this order.
    """

    def __init__(self, values: NDArray[np.float64], is_target: NDArray[np.bool_]) -> None:
        """Raises: InputError if there are no targets, no non-targets, or a score is NaN."""
        points = corners(error_rates(values[is_target], values[~is_target]))
        order = np.argsort(values, kind="stable")
        self.target_order, self.nontarget_order = order[is_target[order]], order[~is_target[order]]
        targets, nontargets = values[self.target_order], values[self.nontarget_order]
        self.thresholds = points.thresholds
        # How many targets and non-targets each threshold rejects: places in the cumulative sums.
        self.rejected_targets, self.rejected_nontargets = points.misses, points.num_nontargets - points.false_alarms
        bayes_thresholds = [bayes_threshold(float(p_target)) for p_target in P_TARGETS]
        self.bayes_rejected_targets = np.searchsorted(targets, bayes_thresholds)
        self.bayes_rejected_nontargets = np.searchsorted(nontargets, bayes_thresholds)
        self.target_bits, self.nontarget_bits = bits(targets), bits(-nontargets)
        self.finite_cllr = bool(np.isfinite(self.target_bits[0]) and np.isfinite(self.nontarget_bits[-1]))

    def metrics(self, target_weights: NDArray[np.integer], nontarget_weights: NDArray[np.integer]) -> NDArray:
        """[M] float64, METRICS of a list where trial i comes weights[i] times; neither sum of weights may be 0."""
        misses, rejections = running_sum(target_weights), running_sum(nontarget_weights)
        rejected = np.stack([misses[self.rejected_targets], rejections[self.rejected_nontargets]])
        moved = np.append(True, (rejected[:, 1:] != rejected[:, :-1]).any(axis=0))  # not where trials count 0 times
        rates = ErrorRates(
            thresholds=self.thresholds[moved],
            misses=rejected[0, moved],
            false_alarms=rejections[-1] - rejected[1, moved],
            num_targets=int(misses[-1]),
            num_nontargets=int(rejections[-1]),
        )
        miss_rates = misses[self.bayes_rejected_targets] / misses[-1]
        false_alarm_rates = 1 - rejections[self.bayes_rejected_nontargets] / rejections[-1]
        costs = np.array([detection_weights(float(p_target), 1, 1) for p_target in P_TARGETS])
        return np.array(
            [
                eer_from(rates),
                *(min_dcf_from(rates, float(p_target)) for p_target in P_TARGETS),
                min_cllr_from(rates),
                self.cllr(target_weights, nontarget_weights, misses[-1], rejections[-1]),
                *(costs * np.stack([miss_rates, false_alarm_rates], axis=1)).sum(axis=1),
            ]
        )

    def cllr(
        self,
        target_weights: NDArray[np.integer],
        nontarget_weights: NDArray[np.integer],
        num_targets: np.int64,
        num_nontargets: np.int64,
    ) -> float:
        if not self.finite_cllr:
            return np.inf
        target_bits, nontarget_bits = target_weights * self.target_bits, nontarget_weights * self.nontarget_bits
        return 0.5 * float(target_bits.sum() / num_targets + nontarget_bits.sum() / num_nontargets)


def running_sum(weights: NDArray[np.integer]) -> NDArray[np.int64]:
    """[N + 1] sums of the first 0, 1, ... N weights."""
    sums = np.zeros(len(weights) + 1, dtype=np.int64)
    np.cumsum(weights, out=sums[1:])
    return sums


def nested(values: list[Any]) -> dict[str, Any]:
    """{'eer': ., 'min_dcf': {p_target: .}, ...} of a value for each of METRICS, as summary() has them."""
    result: dict[str, Any] = {}
    for (name, p_target), value in zip(METRICS, values, strict=True):
        if p_target is None:
            result[name] = value
        else:
            result.setdefault(name, {})[p_target] = value
    return result
