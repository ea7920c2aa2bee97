"""Expectation maximisation of a mixture with diagonal covariances, by Kaldi's rules (gmm-global-acc-stats, -est)."""

from __future__ import annotations

import torch
from torch import Tensor

from spk.ivector.diagonal_gmm import DiagonalGmm
from spk.ivector.posteriors import select_gaussians

MIN_OCCUPANCY = 10  # frames: a Gaussian with no more is not estimated
MIN_VARIANCE = 0.001
PERTURBATION = 0.1  # of a standard deviation, by which the halves of a split Gaussian part
FRAMES_AT_A_TIME = 2048


class DiagonalStatistics:
    """Sums over frames, float64: occupancy [C], first [C, D] of p x and second [C, D] of p x^2, log-likelihood."""

    min_occupancy = MIN_OCCUPANCY

    def __init__(self, gmm: DiagonalGmm) -> None:
        self.gmm = gmm
        self.occupancy = torch.zeros_like(gmm.weights)
        self.first, self.second = torch.zeros_like(gmm.means), torch.zeros_like(gmm.means)
        self.log_likelihood, self.num_frames = 0.0, 0

    def add(self, frames: Tensor, num_gselect: int | None = None) -> None:
        """frames [T, D]; the posteriors are among the `num_gselect` likeliest Gaussians (None: all) of a frame."""
        for part in frames.split(FRAMES_AT_A_TIME):
            if num_gselect is None or num_gselect >= self.gmm.num_gaussians:
                scores = self.gmm.log_likelihoods(part)
                posteriors = scores.softmax(dim=1)
            else:
                scores, index = select_gaussians(self.gmm, part, num_gselect)
                posteriors = part.new_zeros(len(part), self.gmm.num_gaussians)
                posteriors.scatter_(1, index, scores.softmax(dim=1))
            sums = posteriors.T @ torch.cat([part, part.square()], dim=1)
            self.occupancy += posteriors.sum(dim=0, dtype=torch.float64)
            self.first += sums[:, : self.gmm.dim]
            self.second += sums[:, self.gmm.dim :]
            self.log_likelihood += scores.logsumexp(dim=1).sum(dtype=torch.float64).item()
            self.num_frames += len(part)

    def estimate(self, *, min_weight: float, remove: bool) -> DiagonalGmm:
        """The mixture that maximises the expected log-likelihood.

        A Gaussian with too few frames or too small a share of them is removed (one always stays), or, without `remove`,
        keeps mean and variance and has at least the smallest weight.
        """
        share = self.occupancy / self.occupancy.sum()
        estimated = (self.occupancy > MIN_OCCUPANCY) & (share > min_weight)
        occupancy = self.occupancy.clamp_min(MIN_OCCUPANCY)[:, None]
        mean = self.first / occupancy
        variance = (self.second / occupancy - mean.square()).clamp_min(MIN_VARIANCE)
        means = torch.where(estimated[:, None], mean, self.gmm.means)
        variances = torch.where(estimated[:, None], variance, self.gmm.variances)
        weights, kept = new_weights(share, estimated, min_weight, remove)
        return DiagonalGmm(weights, means[kept], variances[kept])


def new_weights(share: Tensor, estimated: Tensor, min_weight: float, remove: bool) -> tuple[Tensor, Tensor]:
    """(weights of the Gaussians that stay, which they are) from their shares [C] of the frames.

    What is left after a removal sums to 1 again. Without `remove` the weights may sum to somewhat more, as Kaldi's do.
    """
    if not remove:
        everyone = torch.ones_like(estimated)
        return torch.where(estimated, share, share.clamp_min(min_weight)), everyone
    kept = estimated.clone()
    if not kept.any():
        kept[share.argmax()] = True
    return share[kept] / share[kept].sum(), kept


def initial_gmm(frames: Tensor, num_gaussians: int, generator: torch.Generator) -> DiagonalGmm:
    """Means at distinct frames of [T, D] drawn at random, all with the variance of all frames, equal weights."""
    chosen = torch.randperm(len(frames), generator=generator)[:num_gaussians].to(frames.device)
    mean = frames.mean(dim=0, dtype=torch.float64)
    variance = (frames.square().mean(dim=0, dtype=torch.float64) - mean.square()).clamp_min(MIN_VARIANCE)
    weights = torch.full((num_gaussians,), 1 / num_gaussians, dtype=torch.float64, device=frames.device)
    return DiagonalGmm(weights, frames[chosen].double(), variance.repeat(num_gaussians, 1))


def split(gmm: DiagonalGmm, num_gaussians: int, generator: torch.Generator) -> DiagonalGmm:
    """Halve the heaviest Gaussian, the halves' means apart by a random step, until there are `num_gaussians`."""
    gmm = gmm.to("cpu")
    count = gmm.num_gaussians
    weights = torch.zeros(num_gaussians, dtype=torch.float64)
    means, variances = (torch.empty(num_gaussians, gmm.dim, dtype=torch.float64) for _ in range(2))
    weights[:count], means[:count], variances[:count] = gmm.weights, gmm.means, gmm.variances
    for new in range(count, num_gaussians):
        heaviest = int(weights.argmax())
        weights[heaviest] /= 2
        noise = torch.randn(gmm.dim, generator=generator, dtype=torch.float64)
        step = PERTURBATION * noise * variances[heaviest].sqrt()
        weights[new], means[new], variances[new] = weights[heaviest], means[heaviest] + step, variances[heaviest]
        means[heaviest] -= step
    return DiagonalGmm(weights, means, variances)
