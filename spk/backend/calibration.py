"""Calibration and fusion: scores of one or several systems to log-likelihood ratios, by logistic regression."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spk.errors import InputError
from spk.metrics.min_dcf import detection_weights

# Weight of the squared weights (of standardised inputs) beside the loss, whose rarer class counts 1: it moves the
# weights by less than a thousandth, and keeps them finite where the classes can be separated.
RIDGE = 1e-7
CALIBRATED = "calibrated_"  # how names of calibrated rows begin


@dataclass(frozen=True)
class Calibration:
    """llr = offset + sum_m weights[m] inputs[m], in nats; above 0 favours the same speaker. weights [M]."""

    weights: NDArray[np.float64]
    offset: float

    def __call__(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Inputs [N, M] -> natural-log likelihood ratios [N]."""
        return inputs @ self.weights + self.offset


def train_calibration(
    inputs: NDArray[np.float64], is_target: NDArray[np.bool_], p_target: float, names: Sequence[str]
) -> Calibration:
    """Logistic regression whose weighted trials have the effective prior p_target.

    Brümmer et al., Fusion of heterogeneous speaker recognition systems in the STBU submission for the NIST speaker
    recognition evaluation 2006, IEEE TASLP 15(7), 2007, section II: over T target and N non-target trials minimise
        p / T sum_target log(1 + exp(-llr - logit p)) + (1 - p) / N sum_nontarget log(1 + exp(llr + logit p))
    So the regression's logit is the llr plus the prior's log odds, which are taken off the offset. The sums are divided
    by min(p, 1 - p), or the ridge would be the stronger the smaller the prior.
    Shapes: inputs [N, M], one column a system or quality measure, named by `names` [M]; is_target [N].
    Raises: InputError without targets or non-targets, for a column that is constant, or p_target out of range.
    """
    from scipy.special import logit  # slow to import, as the next, and who only calibrates needs neither
    from sklearn.linear_model import LogisticRegression

    miss_weight, false_alarm_weight = detection_weights(p_target, c_miss=1, c_fa=1)
    num_targets = np.count_nonzero(is_target)
    num_nontargets = len(is_target) - num_targets
    if not num_targets or not num_nontargets:
        raise InputError(f"there are no {'non-target' if num_targets else 'target'} trials; calibration needs both")
    mean, deviation = inputs.mean(axis=0), inputs.std(axis=0)
    constant = deviation <= 1e-12 * np.abs(mean)
    if constant.any():
        raise InputError(f"{names[int(np.argmax(constant))]} is the same for all {len(inputs)} trials; leave it out")
    regression = LogisticRegression(
        C=1 / RIDGE,
        class_weight={True: miss_weight / num_targets, False: false_alarm_weight / num_nontargets},
        solver="newton-cholesky",
        tol=1e-9,
        max_iter=1000,
    ).fit((inputs - mean) / deviation, is_target)
    weights = regression.coef_[0] / deviation
    return Calibration(weights, float(regression.intercept_[0] - logit(p_target) - weights @ mean))


def separates(llrs: NDArray[np.float64], is_target: NDArray[np.bool_]) -> bool:
    """Whether every target trial lies above every non-target trial: then no finite weights are the best ones."""
    return bool(llrs[is_target].min() > llrs[~is_target].max())


def read_calibration(folder: str | os.PathLike[str]) -> tuple[Calibration, dict[str, Any]]:
    """What steps/train_calibration left in a folder, and all that its calibration.json says of it.

    Raises: InputError when it is not there or not what train_calibration writes.
    """
    path = Path(folder) / "calibration.json"
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        calibration = Calibration(np.array(description["weights"], dtype=np.float64), float(description["offset"]))
        num_inputs = len(description["backends"]) + 2 * len(description["quality"])
        description["duration_table"], description["cohort_length"]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; train it first (steps/train_calibration)") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not written by steps/train_calibration ({error}); train it again") from None
    if calibration.weights.shape != (num_inputs,):
        raise InputError(f"{path}: {calibration.weights.size} weights for {num_inputs} inputs; train it again")
    return calibration, description
