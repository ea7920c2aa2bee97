"""Gaussian mixtures with full covariances: the UBM whose posteriors the i-vectors are made from."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from spk.ivector.diagonal_gmm import DiagonalGmm
from spk.ivector.pairs import pairs_by_gaussian


@dataclass(frozen=True, eq=False)
class FullGmm:
    """weights [C], means [C, D], covariances [C, D, D], symmetric and positive definite; float64."""

    weights: Tensor
    means: Tensor
    covariances: Tensor

    def __post_init__(self) -> None:
        if self.weights.shape != self.means.shape[:1] or self.covariances.shape != (
            *self.means.shape,
            self.means.shape[-1],
        ):
            shapes = [list(tensor.shape) for tensor in (self.weights, self.means, self.covariances)]
            raise ValueError(f"weights, means and covariances of shapes {shapes} make no full mixture")

    @property
    def num_gaussians(self) -> int:
        return self.means.shape[0]

    @property
    def dim(self) -> int:
        return self.means.shape[1]

    @classmethod
    def from_diagonal(cls, gmm: DiagonalGmm) -> FullGmm:
        return cls(gmm.weights, gmm.means, torch.diag_embed(gmm.variances))

    def diagonal(self) -> DiagonalGmm:
        """The diagonals of the covariances: Kaldi's fgmm-global-to-gmm."""
        return DiagonalGmm(self.weights, self.means, self.covariances.diagonal(dim1=1, dim2=2).contiguous())

    def to(self, device: torch.device | str) -> FullGmm:
        return FullGmm(self.weights.to(device), self.means.to(device), self.covariances.to(device))

    @functools.cached_property
    def whitening(self) -> Tensor:
        """[C, D, D], lower triangles L_c^-1 with L_c L_c' = covariance_c: |L_c^-1 (x - mean_c)|^2 is Mahalanobis'."""
        identity = torch.eye(self.dim, dtype=self.covariances.dtype, device=self.covariances.device)
        factors = torch.linalg.cholesky(self.covariances)
        return torch.linalg.solve_triangular(factors, identity.expand_as(factors), upper=False)

    @functools.cached_property
    def log_heights(self) -> Tensor:
        """[C]: log w_c - 1/2 (D log 2 pi + log |covariance_c|), a Gaussian's log-likelihood of its own mean."""
        half_log_det = -self.whitening.diagonal(dim1=1, dim2=2).log().sum(dim=1)
        return self.weights.log() - 0.5 * self.dim * math.log(2 * math.pi) - half_log_det

    def log_likelihoods(self, frames: Tensor, index: Tensor) -> Tensor:
        """log w_c N(x_t; mean_c, covariance_c) of frames [T, D] for the Gaussians c of index [T, n]: [T, n].

        In the frames' type. One matrix product per Gaussian with all the frames that name it.
        """
        whitening, means, log_heights = (tensor.to(frames) for tensor in (self.whitening, self.means, self.log_heights))
        pairs = pairs_by_gaussian(index, self.num_gaussians)
        sorted_values = torch.empty(len(pairs.order), dtype=frames.dtype, device=frames.device)
        for gaussian, group in pairs:
            whitened = (frames[pairs.frame[group]] - means[gaussian]) @ whitening[gaussian].T
            torch.linalg.vecdot(whitened, whitened, out=sorted_values[group])
        values = torch.empty_like(sorted_values)
        values[pairs.order] = sorted_values
        return values.mul_(-0.5).reshape(index.shape) + log_heights[index]
