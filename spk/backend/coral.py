"""CORAL: training embeddings of one domain are given the covariance of another, of which nobody knows the speakers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spk.errors import InputError


def coral_matrix(
    out_of_domain: NDArray[np.float64], in_domain: NDArray[np.float64], regularization: float = 1.0
) -> NDArray[np.float64]:
    """A [D, D] such that A x, for centred x with covariance `out_of_domain` [D, D], has the covariance `in_domain`.

    Whitening, then re-colouring: A = (C_in + r I)^(1/2) (C_out + r I)^(-1/2) (Sun, Feng and Saenko, Correlation
    Alignment for Unsupervised Domain Adaptation, 2016, arXiv:1612.01939, algorithm 1, for which dimensions have
    variance 1 and r = 1; in speaker recognition Alam, Bhattacharya and Kenny, Odyssey 2018). r is `regularization`
    times the mean variance out of domain, so that the scale of embeddings does not matter; with 0 A is exact.
    Raises: InputError where the dimensions differ, or a covariance without regularization is singular.
    """
    if out_of_domain.shape != in_domain.shape:
        raise InputError(
            f"the in-domain embeddings have {len(in_domain)} dimensions, but those to train on have "
            f"{len(out_of_domain)}; extract both with one system"
        )
    ridge = regularization * np.trace(out_of_domain) / len(out_of_domain) * np.eye(len(out_of_domain))
    return symmetric_power(in_domain + ridge, 0.5) @ symmetric_power(out_of_domain + ridge, -0.5)


def symmetric_power(covariance: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """A power of a positive definite matrix [D, D]. Raises: InputError when it is singular."""
    variances, directions = np.linalg.eigh(covariance)
    if variances[0] <= len(variances) * np.finfo(float).eps * variances[-1]:
        raise InputError(
            f"a covariance of {len(variances)} dimensions is singular; give more utterances, or --coral-regularization "
            "above 0"
        )
    return directions * variances**exponent @ directions.T
