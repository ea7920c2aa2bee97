"""Expectation maximisation of a mixture with full covariances, by Kaldi's rules (fgmm-global-acc-stats, -est)."""

from __future__ import annotations

import torch
from torch import Tensor

from spk.ivector.diagonal_em import new_weights
from spk.ivector.diagonal_gmm import DiagonalGmm
from spk.ivector.full_gmm import FullGmm
from spk.ivector.pairs import pairs_by_gaussian
from spk.ivector.posteriors import select_gaussians

MIN_OCCUPANCY = 100  # frames: a Gaussian with no more is not estimated
VARIANCE_FLOOR = 0.001  # of the eigenvalues of a covariance
MAX_CONDITION = 1e4
NEGLIGIBLE = 1e-9  # posteriors that no sum in float32 would notice
ROWS_OF_GAUSSIAN = 2000  # frames in one matrix product, on average: what fits a processor's cache


class FullStatistics:
    """Sums over frames, float64, of x - m with m the old means: occupancy [C], first [C, D], second [C, D, D]."""

    min_occupancy = MIN_OCCUPANCY

    def __init__(self, gmm: FullGmm) -> None:
        self.gmm = gmm
        self.occupancy = torch.zeros_like(gmm.weights)
        self.first, self.second = torch.zeros_like(gmm.means), torch.zeros_like(gmm.covariances)
        self.log_likelihood, self.num_frames = 0.0, 0

    def add(self, frames: Tensor, diagonal: DiagonalGmm, num_gselect: int) -> None:
        """frames [T, D]; the posteriors are among the `num_gselect` Gaussians that are likeliest by `diagonal`."""
        num_selected = min(num_gselect, diagonal.num_gaussians)
        for part in frames.split(max(1, ROWS_OF_GAUSSIAN * diagonal.num_gaussians // num_selected)):
            self._add(part, diagonal, num_selected)

    def _add(self, frames: Tensor, diagonal: DiagonalGmm, num_gselect: int) -> None:
        _, index = select_gaussians(diagonal, frames, num_gselect)
        scores = self.gmm.log_likelihoods(frames, index)
        posteriors = scores.softmax(dim=1)
        self.occupancy.index_add_(0, index.flatten(), posteriors.flatten().double())
        pairs = pairs_by_gaussian(index, self.gmm.num_gaussians, keep=posteriors > NEGLIGIBLE)
        weights, means = posteriors.flatten()[pairs.order], self.gmm.means.to(frames)
        for gaussian, group in pairs:
            centred = frames[pairs.frame[group]] - means[gaussian]
            weighted = centred * weights[group, None]
            self.first[gaussian] += weighted.sum(dim=0)
            self.second[gaussian] += weighted.T @ centred
        self.log_likelihood += scores.logsumexp(dim=1).sum(dtype=torch.float64).item()
        self.num_frames += len(frames)

    def estimate(self, *, min_weight: float, remove: bool) -> FullGmm:
        """The mixture that maximises the expected log-likelihood, eigenvalues of its covariances floored.

        Gaussians with too few frames as in DiagonalStatistics.estimate.
        """
        share = self.occupancy / self.occupancy.sum()
        estimated = (self.occupancy > MIN_OCCUPANCY) & (share > min_weight)
        occupancy = self.occupancy[estimated, None]
        step = self.first[estimated] / occupancy
        covariance = self.second[estimated] / occupancy[:, :, None] - step[:, :, None] * step[:, None, :]
        means, covariances = self.gmm.means.clone(), self.gmm.covariances.clone()
        means[estimated] += step
        covariances[estimated] = floor_eigenvalues(covariance)
        weights, kept = new_weights(share, estimated, min_weight, remove)
        return FullGmm(weights, means[kept], covariances[kept])


def floor_eigenvalues(covariances: Tensor) -> Tensor:
    """[C, D, D] made symmetric; of low eigenvalues (VARIANCE_FLOOR, the largest / MAX_CONDITION) rebuilt."""
    covariances = 0.5 * (covariances + covariances.mT)
    values, vectors = torch.linalg.eigh(covariances)
    floor = (values.abs().amax(dim=1, keepdim=True) / MAX_CONDITION).clamp_min(VARIANCE_FLOOR)
    low = (values < floor).any(dim=1)
    values, vectors = torch.maximum(values, floor)[low], vectors[low]
    covariances[low] = (vectors * values[:, None, :]) @ vectors.mT
    return covariances
