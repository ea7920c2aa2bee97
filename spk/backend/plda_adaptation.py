"""Unsupervised adaptation of PLDA to a domain of which there are embeddings, but no speakers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spk.backend.plda import Plda
from spk.errors import InputError


def adapt_plda(
    plda: Plda,
    mean: NDArray[np.float64],
    covariance: NDArray[np.float64],
    within_covar_scale: float = 0.3,
    between_covar_scale: float = 0.7,
    mean_diff_scale: float = 1.0,
) -> Plda:
    """A model with the in-domain `mean` [D] that explains at least the in-domain `covariance` [D, D] (divided by N).

    Kaldi's ivector-adapt-plda. V = covariance + mean_diff_scale d d', d how far the means are apart. In the basis where
    the model's total covariance W + B is I and V is diagonal, a direction in which V exceeds 1 by e is given
    within_covar_scale e more of W and between_covar_scale e more of B: with scales whose sum is 1, W + B becomes V
    there. Where V is less than 1 nothing changes.
    Raises: InputError where the dimensions differ.
    """
    if mean.shape != plda.mean.shape:
        raise InputError(
            f"the in-domain embeddings have {len(mean)} dimensions, but the PLDA was trained on {plda.dim}; extract "
            "them with the same system"
        )
    difference = mean - plda.mean
    covariance = covariance + mean_diff_scale * np.outer(difference, difference)
    to_unit_total = plda.transform / np.sqrt(1 + plda.psi)[:, None]
    variance, rotation = np.linalg.eigh(to_unit_total @ covariance @ to_unit_total.T)
    excess = np.maximum(variance - 1, 0.0)
    within = rotation.T / (1 + plda.psi) @ rotation + within_covar_scale * np.diag(excess)
    between = rotation.T * (plda.psi / (1 + plda.psi)) @ rotation + between_covar_scale * np.diag(excess)
    adapted = Plda.from_covariances(mean, within, between)
    return Plda(mean, adapted.transform @ rotation.T @ to_unit_total, adapted.psi)
