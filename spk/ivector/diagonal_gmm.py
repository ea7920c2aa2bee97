"""Gaussian mixtures with diagonal covariances: the UBM that selects Gaussians."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class DiagonalGmm:
    """weights [C], means [C, D], variances [C, D]; float64."""

    weights: Tensor
    means: Tensor
    variances: Tensor

    def __post_init__(self) -> None:
        if self.weights.shape != self.means.shape[:1] or self.means.shape != self.variances.shape:
            shapes = [list(tensor.shape) for tensor in (self.weights, self.means, self.variances)]
            raise ValueError(f"weights, means and variances of shapes {shapes} make no diagonal mixture")

    @property
    def num_gaussians(self) -> int:
        return self.means.shape[0]

    @property
    def dim(self) -> int:
        return self.means.shape[1]

    def to(self, device: torch.device | str) -> DiagonalGmm:
        return DiagonalGmm(self.weights.to(device), self.means.to(device), self.variances.to(device))

    def constants(self) -> Tensor:
        """[C]: log w_c - 1/2 (D log 2 pi + sum log var + sum mean^2 / var), a Gaussian's log-likelihood of x = 0."""
        log_det = self.variances.log().sum(dim=1)
        quadratic = (self.means.square() / self.variances).sum(dim=1)
        return self.weights.log() - 0.5 * (self.dim * math.log(2 * math.pi) + log_det + quadratic)

    def log_likelihoods(self, frames: Tensor) -> Tensor:
        """log w_c N(x_t; mean_c, var_c) of frames [T, D] under every Gaussian: [T, C], in the frames' type.

        One matrix product: the exponent is linear in (x, x^2).
        """
        linear = torch.cat([self.means / self.variances, -0.5 / self.variances], dim=1).to(frames)
        return torch.addmm(self.constants().to(frames), torch.cat([frames, frames.square()], dim=1), linear.T)
