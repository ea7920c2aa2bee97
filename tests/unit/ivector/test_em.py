"""EM of the UBM against its slow definition, Kaldi's result, and what EM guarantees."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from unit.ivector.kaldi_oracle import FILES, kaldi_frames, kaldi_ivectors

from spk.ivector.diagonal_em import DiagonalStatistics, initial_gmm, split
from spk.ivector.diagonal_gmm import DiagonalGmm
from spk.ivector.full_em import FullStatistics, floor_eigenvalues
from spk.ivector.full_gmm import FullGmm
from spk.ivector.gmm_files import read_diagonal_gmm, read_full_gmm


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    """Kaldi's 7981 frames of 40 utterances."""
    return kaldi_frames(kaldi_ivectors()[0])[0]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_two_iterations_from_kaldis_diagonal_mixture_give_kaldis_full_one(frames, dtype):
    diagonal, expected = read_diagonal_gmm(FILES / "diag_ubm.txt"), read_full_gmm(FILES / "full_ubm.txt")
    gmm = FullGmm.from_diagonal(diagonal)
    for _ in range(2):
        statistics = FullStatistics(gmm)
        for block in frames.to(dtype).split(3000):
            statistics.add(block, diagonal, num_gselect=diagonal.num_gaussians)
        gmm = statistics.estimate(min_weight=1e-5, remove=False)
    np.testing.assert_allclose(gmm.weights, expected.weights, rtol=2e-6)
    np.testing.assert_allclose(gmm.means, expected.means, atol=2e-4)
    difference = (gmm.covariances - expected.covariances).flatten(1).norm(dim=1)
    assert (difference / expected.covariances.flatten(1).norm(dim=1)).max() < 4e-6


def test_an_iteration_of_diagonal_em_is_its_definition(frames):
    gmm = initial_gmm(frames, 6, generator())
    statistics = DiagonalStatistics(gmm)
    for block in frames.double().split(2500):
        statistics.add(block)
    estimated = statistics.estimate(min_weight=1e-4, remove=True)
    x = frames.double().numpy()
    density = np.stack(
        [
            w * np.exp(-0.5 * ((x - m) ** 2 / v + np.log(2 * np.pi * v)).sum(axis=1))
            for w, m, v in zip(gmm.weights.numpy(), gmm.means.numpy(), gmm.variances.numpy(), strict=True)
        ],
        axis=1,
    )
    posterior = density / density.sum(axis=1, keepdims=True)
    assert statistics.log_likelihood == pytest.approx(np.log(density.sum(axis=1)).sum())
    for c in range(6):
        mean = np.average(x, axis=0, weights=posterior[:, c])
        np.testing.assert_allclose(estimated.means[c], mean, atol=1e-8)
        np.testing.assert_allclose(
            estimated.variances[c], np.average((x - mean) ** 2, axis=0, weights=posterior[:, c]), rtol=1e-6
        )
        assert estimated.weights[c] == pytest.approx(posterior[:, c].mean())


def test_the_log_likelihood_never_falls(frames):
    gmm, values = initial_gmm(frames, 8, generator()), []
    for _ in range(8):
        statistics = DiagonalStatistics(gmm)
        statistics.add(frames.double())
        values.append(statistics.log_likelihood)
        gmm = statistics.estimate(min_weight=1e-4, remove=False)
    diagonal, gmm = gmm, FullGmm.from_diagonal(gmm)
    for _ in range(5):
        statistics = FullStatistics(gmm)
        statistics.add(frames.double(), diagonal, num_gselect=8)
        values.append(statistics.log_likelihood)
        gmm = statistics.estimate(min_weight=1e-4, remove=False)
    assert np.diff(values).min() > 0
    assert values[-1] > values[0] + len(frames)  # more than a nat a frame


def test_with_a_selection_posteriors_are_among_the_selected_alone(frames):
    """With one Gaussian a frame, EM counts frames."""
    gmm = initial_gmm(frames, 8, generator())
    statistics = DiagonalStatistics(gmm)
    statistics.add(frames.double(), num_gselect=1)
    best = gmm.log_likelihoods(frames.double()).argmax(dim=1)
    np.testing.assert_allclose(statistics.occupancy, np.bincount(best, minlength=8), atol=1e-9)
    np.testing.assert_allclose(statistics.first[3], frames[best == 3].double().sum(dim=0), rtol=1e-6)


def far_and_near(count: int) -> torch.Tensor:
    """1000 frames around 0 and `count` around 100, of two dimensions."""
    return torch.cat([torch.randn(1000, 2, generator=generator()), 100 + torch.randn(count, 2, generator=generator())])


@pytest.mark.parametrize("kind", ["diagonal", "full"])
def test_a_gaussian_with_few_frames_is_kept_as_it_is_or_removed(kind):
    """8 frames are fewer than diagonal EM wants, 60 fewer than full EM."""
    frames = far_and_near(8 if kind == "diagonal" else 60).double()
    start = DiagonalGmm(
        torch.tensor([0.5, 0.5]).double(), torch.tensor([[0.0, 0], [99, 99]]).double(), torch.ones(2, 2).double() * 4
    )
    if kind == "diagonal":
        statistics = DiagonalStatistics(start)
        statistics.add(frames)
    else:
        statistics = FullStatistics(FullGmm.from_diagonal(start))
        statistics.add(frames, start, num_gselect=2)
    share = statistics.occupancy[1] / len(frames)
    kept = statistics.estimate(min_weight=1e-4, remove=False)
    assert kept.means[1].tolist() == [99, 99]
    assert kept.weights[1] == share
    assert statistics.estimate(min_weight=0.2, remove=False).weights[1] == 0.2
    removed = statistics.estimate(min_weight=1e-4, remove=True)
    assert removed.weights.tolist() == [1]
    np.testing.assert_allclose(removed.means[0], frames[:1000].mean(dim=0), atol=1e-6)


def test_one_gaussian_always_stays():
    frames = far_and_near(0)[:5].double()
    statistics = DiagonalStatistics(initial_gmm(frames, 2, generator()))
    statistics.add(frames)
    assert statistics.estimate(min_weight=1e-4, remove=True).weights.tolist() == [1]


def test_identical_frames_leave_a_floored_variance():
    frames = torch.full((500, 3), 2.0, dtype=torch.float64)
    statistics = DiagonalStatistics(initial_gmm(frames, 1, generator()))
    statistics.add(frames)
    assert statistics.estimate(min_weight=1e-4, remove=True).variances.tolist() == [[0.001] * 3]


def test_splitting_halves_the_heaviest_and_moves_the_halves_apart():
    gmm = DiagonalGmm(
        torch.tensor([0.2, 0.8]).double(), torch.tensor([[0.0], [5]]).double(), torch.tensor([[1.0], [4]]).double()
    )
    grown = split(gmm, 4, generator(3))
    assert grown.weights.tolist() == pytest.approx([0.2, 0.2, 0.4, 0.2])
    assert grown.variances[:, 0].tolist() == [1, 4, 4, 4]
    assert grown.means[0] == 0
    first_step = grown.means[2, 0] - 5  # once up; the other half went down, then parted again
    assert abs(first_step) < 1
    assert (grown.means[1, 0] + grown.means[3, 0]) / 2 == pytest.approx(5 - first_step)
    assert torch.equal(split(gmm, 4, generator(3)).means, grown.means)


def test_low_eigenvalues_are_floored_and_others_left_alone():
    vectors = torch.linalg.qr(torch.randn(3, 3, generator=generator(), dtype=torch.float64)).Q

    def build(*values: float) -> torch.Tensor:
        return vectors @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ vectors.T

    before = torch.stack([build(1, 2, 3), build(1e-7, 0.1, 1), build(1e-5, 1, 100)])
    expected = torch.stack([build(1, 2, 3), build(1e-3, 0.1, 1), build(1e-2, 1, 100)])
    np.testing.assert_allclose(floor_eigenvalues(before), expected, atol=1e-9)
