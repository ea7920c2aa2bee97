"""The i-vector model: each utterance has a point x in a low-dimensional space, which moves the means of a UBM."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

GAUSSIANS_AT_A_TIME = 64  # of which S x S matrices are in memory at once


@dataclass(frozen=True)
class IvectorExtractor:
    """A frame of Gaussian c in an utterance with i-vector x is drawn from N(M_c x, Sigma_c), where x ~ N(p e0, I).

    e0 is the first axis, so p M_c e0 is the mean of Gaussian c over all utterances: Kaldi's form of the model of Dehak
    et al., Front-end factor analysis for speaker verification, IEEE TASLP 2011. Float64 tensors on the CPU.
    """

    projections: Tensor  # M [C, D, S]
    covariances: Tensor  # Sigma [C, D, D]
    weights: Tensor  # [C] of the UBM; they weigh Gaussians in the prior update of training
    prior_offset: float  # p > 0

    @property
    def num_gaussians(self) -> int:
        return self.projections.shape[0]

    @property
    def feature_dim(self) -> int:
        return self.projections.shape[1]

    @property
    def ivector_dim(self) -> int:
        return self.projections.shape[2]

    @property
    def means(self) -> Tensor:
        """[C, D]: of the Gaussians where x = p e0."""
        return self.prior_offset * self.projections[:, :, 0]


def pack(matrices: Tensor) -> Tensor:
    """Symmetric matrices [..., S, S] -> their lower triangles, row by row: [..., S (S + 1) / 2]."""
    rows, columns = torch.tril_indices(matrices.shape[-1], matrices.shape[-1], device=matrices.device)
    return matrices[..., rows, columns]


def unpack(packed: Tensor) -> Tensor:
    """[..., S (S + 1) / 2] -> symmetric matrices [..., S, S]; the inverse of `pack`."""
    dim = (math.isqrt(8 * packed.shape[-1] + 1) - 1) // 2
    rows, columns = torch.tril_indices(dim, dim, device=packed.device)
    matrices = packed.new_empty(*packed.shape[:-1], dim, dim)
    matrices[..., rows, columns] = packed
    matrices[..., columns, rows] = packed
    return matrices


@dataclass(frozen=True)
class Posterior:
    """Of x - p e0 for each of U utterances, given their statistics: Gaussian."""

    mean: Tensor  # [U, S]
    factor: Tensor  # [U, S, S], lower triangular: factor factor' is the inverse of the covariance
    linear: Tensor  # [U, S]: the inverse of the covariance times the mean

    def covariance(self) -> Tensor:
        """[U, S, S]"""
        return torch.cholesky_inverse(self.factor)

    def log_likelihood(self) -> Tensor:
        """[U]: log of the integral over x of p(frames | x) p(x) / p(frames | x = p e0), in nats."""
        log_determinants = 2 * self.factor.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)
        return 0.5 * ((self.linear * self.mean).sum(dim=-1) - log_determinants)


class IvectorPosterior:
    """Statistics of utterances -> the posterior of their i-vectors, for many utterances as a few matrix products."""

    def __init__(
        self, extractor: IvectorExtractor, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float64
    ) -> None:
        """Prepare Sigma^-1 M and, packed, U = M' Sigma^-1 M of every Gaussian.

        float32 halves memory and is many times faster on most GPUs; as everything is relative to the mean over
        utterances, it costs little precision.
        """
        count, dim, ivector_dim = extractor.projections.shape
        self.means = extractor.means.to(device)
        self.weighted = torch.empty(count, dim, ivector_dim, device=device, dtype=dtype)  # Sigma^-1 M
        size = ivector_dim * (ivector_dim + 1) // 2
        self.precisions = torch.empty(count, size, device=device, dtype=dtype)  # U
        for first in range(0, count, GAUSSIANS_AT_A_TIME):
            part = slice(first, first + GAUSSIANS_AT_A_TIME)
            factors = torch.linalg.cholesky(extractor.covariances[part].to(device))
            whitened = torch.linalg.solve_triangular(factors, extractor.projections[part].to(device), upper=False)
            self.weighted[part] = torch.linalg.solve_triangular(factors.mT, whitened, upper=True)
            self.precisions[part] = pack(whitened.mT @ whitened)

    def centre(self, occupancies: Tensor, first_order: Tensor) -> Tensor:
        """First-order statistics [U, C, D] about the means at x = p e0 (float64, as large terms cancel)."""
        return torch.addcmul(first_order, occupancies[:, :, None], self.means, value=-1)

    def __call__(self, occupancies: Tensor, centred: Tensor) -> Posterior:
        """Occupancies [U, C] and first-order statistics from `centre` [U, C, D] -> the posteriors of U utterances.

        With y = x - p e0 ~ N(0, I): the inverse covariance is I + sum_c gamma_c U_c, and that times the mean is
        sum_c (Sigma_c^-1 M_c)' (X_c - gamma_c p M_c e0).
        """
        dtype = self.weighted.dtype
        linear = centred.to(dtype).flatten(1) @ self.weighted.flatten(0, 1)
        precision = unpack(occupancies.to(dtype) @ self.precisions)
        precision.diagonal(dim1=-2, dim2=-1).add_(1)
        factor = torch.linalg.cholesky(precision)
        mean = torch.cholesky_solve(linear[:, :, None], factor)[:, :, 0]
        return Posterior(mean, factor, linear)
