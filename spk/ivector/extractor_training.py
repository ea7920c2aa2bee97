"""Train the i-vector model by EM: expected statistics of a pass over the data, then the model that fits them best.

As Kaldi does it with fixed weights (ivector-extractor-acc-stats, ivector-extractor-est), which is EM with minimum
divergence; the posteriors of Gaussians do not change, and the likelihood given them never falls but through floors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from spk.ivector.extractor import GAUSSIANS_AT_A_TIME, IvectorExtractor, IvectorPosterior, pack, unpack
from spk.ivector.full_gmm import FullGmm
from spk.ivector.utterance_statistics import UtteranceStatistics

INITIAL_OFFSET = 100.0
MIN_COUNT = 100.0  # a Gaussian with less keeps its projection and covariance
VARIANCE_FLOOR = 0.1  # of the mean covariance over Gaussians
MOST_CONDITION = 1e4  # of the matrices that are inverted and of the covariance floor
LEAST_VARIANCE = 1e-7  # of i-vectors, in the prior update


def initial_extractor(ubm: FullGmm, ivector_dim: int, generator: torch.Generator) -> IvectorExtractor:
    """The UBM's means and covariances, and random directions: columns 1.. of M are drawn from the standard normal."""
    projections = torch.randn(*ubm.means.shape, ivector_dim, generator=generator, dtype=torch.float64)
    projections[:, :, 0] = ubm.means.double() / INITIAL_OFFSET
    return IvectorExtractor(projections, ubm.covariances.double(), ubm.weights.double(), INITIAL_OFFSET)


class ExtractorStatistics:
    """Sums over utterances, float64. With y = x - p e0, moments of y are kept and not of x: a large p costs digits."""

    def __init__(self, extractor: IvectorExtractor, device: torch.device | str = "cpu") -> None:
        count, dim, ivector_dim = extractor.projections.shape

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(*shape, dtype=torch.float64, device=device)

        self.occupancy = zeros(count)  # sum of gamma
        self.first_order = zeros(count, dim)  # sum of X - gamma p M e0
        self.second_order = zeros(count, dim, dim)  # sum of S, not centred
        self.cross = zeros(count, dim, ivector_dim)  # sum of (X - gamma p M e0) E[y]'
        self.weighted_mean = zeros(count, ivector_dim)  # sum of gamma E[y]
        self.weighted_scatter = zeros(count, ivector_dim * (ivector_dim + 1) // 2)  # sum of gamma E[y y'], packed
        self.mean = zeros(ivector_dim)  # sum of E[y]
        self.scatter = zeros(ivector_dim * (ivector_dim + 1) // 2)  # sum of E[y y'], packed
        self.log_likelihood_ratio = zeros(())  # sum of Posterior.log_likelihood
        self.num_utterances = 0

    def add(self, statistics: UtteranceStatistics, posterior_of: IvectorPosterior) -> None:
        """Add what a block of utterances is expected to contribute. `second_order` is added to by itself."""
        occupancies = statistics.occupancies
        centred = posterior_of.centre(occupancies, statistics.first_order)
        posterior = posterior_of(occupancies, centred)
        mean, dtype = posterior.mean, posterior.mean.dtype
        scatter = pack(posterior.covariance() + mean[:, :, None] * mean[:, None, :])
        self.occupancy += occupancies.sum(dim=0)
        self.first_order += centred.sum(dim=0)
        self.cross += (centred.to(dtype).flatten(1).T @ mean).view_as(self.cross)
        self.weighted_mean += occupancies.to(dtype).T @ mean
        self.weighted_scatter += occupancies.to(dtype).T @ scatter
        self.mean += mean.sum(dim=0, dtype=torch.float64)
        self.scatter += scatter.sum(dim=0, dtype=torch.float64)
        self.log_likelihood_ratio += posterior.log_likelihood().sum(dtype=torch.float64)
        self.num_utterances += len(mean)


def log_likelihood(extractor: IvectorExtractor, statistics: ExtractorStatistics) -> float:
    """Of all frames by the extractor that the statistics were made with, per frame in nats.

    The integral over i-vectors is exact; the posteriors of Gaussians are taken as given. So training never makes it
    fall (but for floors), and numbers compare only between extractors on the same posteriors.
    """
    device, dim = statistics.occupancy.device, extractor.feature_dim
    gamma, means = statistics.occupancy, extractor.means.to(device)
    # sum of gamma (o - m) (o - m)' from S and the centred X: (o - m)(o - m)' = o o' - (o - m) m' - m (o - m)' - m m'.
    shifted = statistics.first_order[:, :, None] * means[:, None, :]
    scatter = statistics.second_order - shifted - shifted.mT - gamma[:, None, None] * _outer(means)
    factors = torch.linalg.cholesky(extractor.covariances.to(device))
    log_determinants = 2 * factors.diagonal(dim1=-2, dim2=-1).log().sum(dim=-1)
    distances = torch.cholesky_solve(scatter, factors).diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    at_prior_mean = -0.5 * (gamma * (dim * math.log(2 * math.pi) + log_determinants) + distances)
    return float((at_prior_mean.sum() + statistics.log_likelihood_ratio) / gamma.sum())


@dataclass(frozen=True)
class Update:
    """A new extractor, and what became of its parts."""

    extractor: IvectorExtractor
    num_not_updated: int  # Gaussians with too little data
    num_floored: int  # eigenvalues of covariances
    num_reverted: int  # projections that would have been worse than before


def update(extractor: IvectorExtractor, statistics: ExtractorStatistics) -> Update:
    """The M-step, in Kaldi's order: projections, covariances with the new projections, their floor, the prior.

    A Gaussian with less than MIN_COUNT keeps projection and covariance, but takes part in the change of coordinates by
    which the prior becomes N(p e0, I) again.
    """
    device = statistics.occupancy.device
    gamma, offset, means = statistics.occupancy, extractor.prior_offset, extractor.means.to(device)
    old, covariances = extractor.projections.to(device), extractor.covariances.to(device).clone()
    projections = old.clone()
    residual = torch.zeros_like(statistics.second_order)  # T: sum of (o - M x)(o - M x)'
    enough = torch.nonzero(gamma >= MIN_COUNT)[:, 0]
    num_reverted = 0
    for part in enough.split(GAUSSIANS_AT_A_TIME):
        # From moments of y = x - p e0 to moments of x: R = sum of gamma E[x x'], Y = sum of X E[x]'.
        count, mean = gamma[part], statistics.weighted_mean[part]
        scatter = unpack(statistics.weighted_scatter[part])
        scatter[:, 0, :] += offset * mean
        scatter[:, :, 0] += offset * mean
        scatter[:, 0, 0] += offset**2 * count
        first_order = statistics.first_order[part] + count[:, None] * means[part]
        cross = statistics.cross[part] + means[part, :, None] * mean[:, None, :]
        cross[:, :, 0] += offset * first_order
        new, reverted = best_projections(old[part], covariances[part], cross, scatter)
        num_reverted += int(reverted.sum())
        projections[part] = new
        explained = cross @ new.mT
        residual[part] = statistics.second_order[part] - explained - explained.mT + new @ scatter @ new.mT
    num_floored = 0
    if len(enough):
        floor = covariance_floor(residual[enough].sum(dim=0) / gamma[enough].sum())
        covariances[enough], num_floored = floored(residual[enough] / gamma[enough, None, None], floor)
    updated = replace(extractor, projections=projections, covariances=covariances)
    moved = update_prior(
        updated, statistics.mean / statistics.num_utterances, unpack(statistics.scatter) / statistics.num_utterances
    )
    return Update(moved, len(gamma) - len(enough), num_floored, num_reverted)


def best_projections(old: Tensor, covariances: Tensor, cross: Tensor, scatter: Tensor) -> tuple[Tensor, Tensor]:
    """M that maximises Q(M) = tr(M' Sigma^-1 Y) - tr(Sigma^-1 M R M') / 2: M = Y R^-1, with small eigenvalues floored.

    Shapes: M old [C, D, S], Sigma [C, D, D], Y `cross` [C, D, S], R `scatter` [C, S, S] -> the new M, and where (bool
    [C]) Q would have fallen, so that M is the old one. R is first scaled to a diagonal of ones; eigenvalues below the
    largest / MOST_CONDITION then count as that much: M = M_old + (Y - M_old R) R~^-1.
    """
    scale = scatter.diagonal(dim1=-2, dim2=-1).clamp_min(1e-40).rsqrt()
    values, vectors = torch.linalg.eigh(scale[:, :, None] * scatter * scale[:, None, :])
    values = values.maximum((values[:, -1:] / MOST_CONDITION).clamp_min(1e-40))
    step = ((cross - old @ scatter) * scale[:, None, :]) @ vectors
    new = old + ((step / values[:, None, :]) @ vectors.mT) * scale[:, None, :]

    factors = torch.linalg.cholesky(covariances)

    def auxiliary(projections: Tensor) -> Tensor:
        weighted = torch.cholesky_solve(projections, factors)
        return (weighted * (cross - 0.5 * projections @ scatter)).sum(dim=(1, 2))

    reverted = auxiliary(new) < auxiliary(old)
    return torch.where(reverted[:, None, None], old, new), reverted


def covariance_floor(mean_covariance: Tensor) -> Tensor:
    """[D, D]: VARIANCE_FLOOR times the mean covariance of frames about M x, with eigenvalues that are not too small."""
    values, vectors = torch.linalg.eigh(VARIANCE_FLOOR * mean_covariance)
    values = values.clamp_min(float(values.abs().max()) / MOST_CONDITION)
    return (vectors * values) @ vectors.T


def floored(covariances: Tensor, floor: Tensor) -> tuple[Tensor, int]:
    """Covariances [C, D, D] that are nowhere smaller than `floor` [D, D], and how many directions were.

    In coordinates in which the floor is the unit matrix, eigenvalues below 1 become 1.
    """
    factor = torch.linalg.cholesky(floor)
    half = torch.linalg.solve_triangular(factor, covariances, upper=False)
    values, vectors = torch.linalg.eigh(torch.linalg.solve_triangular(factor, half.mT.contiguous(), upper=False))
    basis = factor @ vectors
    return (basis * values.clamp_min(1)[:, None, :]) @ basis.mT, int((values < 1).sum())


def update_prior(extractor: IvectorExtractor, mean: Tensor, scatter: Tensor) -> IvectorExtractor:
    """Change coordinates so that training i-vectors have the mean p e0 and the covariance I, and U is near diagonal.

    `mean` [S] and `scatter` [S, S]: E[y] and E[y y'] over the training utterances, y = x - p e0. V takes old x to new:
    it whitens, turns the mean onto e0 by a Householder reflection, and turns the other axes onto the eigenvectors of
    their part of the weighted mean of U. Projections become M V^-1; p is the length of the whitened mean.
    """
    device = mean.device
    dim = len(mean)
    values, vectors = torch.linalg.eigh(scatter - torch.outer(mean, mean))
    whitening = vectors.T / values.clamp_min(LEAST_VARIANCE).sqrt()[:, None]
    mean = mean.clone()
    mean[0] += extractor.prior_offset
    change = _reflection(whitening @ mean) @ whitening

    weights, projections = extractor.weights.to(device), extractor.projections.to(device)
    precision = torch.zeros(dim, dim, dtype=mean.dtype, device=device)
    factors = torch.linalg.cholesky(extractor.covariances.to(device))
    for part in torch.arange(len(weights), device=device).split(GAUSSIANS_AT_A_TIME):
        whitened = torch.linalg.solve_triangular(factors[part], projections[part], upper=False)
        whitened = (weights[part].sqrt()[:, None, None] * whitened).flatten(0, 1)
        precision.addmm_(whitened.T, whitened)
    # As Kaldi does, by the axes from 1 on alone, although `change` couples them with axis 0: the result is diagonal but
    # for that coupling.
    inner = torch.linalg.inv(change[1:, 1:])
    values, vectors = torch.linalg.eigh(inner.T @ precision[1:, 1:] @ inner)
    change[1:] = vectors[:, values.abs().argsort(descending=True)].T @ change[1:]
    projections = torch.linalg.solve(change.T, projections.mT).mT
    return IvectorExtractor(
        projections.contiguous().cpu(), extractor.covariances.cpu(), extractor.weights, float(change[0] @ mean)
    )


def _reflection(vector: Tensor) -> Tensor:
    """The Householder matrix that turns `vector` [S] onto the first axis."""
    identity = torch.eye(len(vector), dtype=vector.dtype, device=vector.device)
    direction = vector / vector.norm() - identity[0]
    length = direction.norm()
    if length == 0:
        return identity
    return identity - 2 * torch.outer(direction, direction) / length**2


def _outer(vectors: Tensor) -> Tensor:
    """[C, D] -> [C, D, D]"""
    return vectors[:, :, None] * vectors[:, None, :]
