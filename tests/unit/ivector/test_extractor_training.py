"""Training of the i-vector model against Kaldi's, the definitions of its parts, and the likelihood of drawn data."""

from __future__ import annotations

import itertools

import pytest
import torch
from scipy.stats import multivariate_normal
from unit.ivector.kaldi_oracle import FILES, kaldi_frames, kaldi_ivectors, kaldi_posteriors

from spk.ivector.extractor import IvectorExtractor, IvectorPosterior, unpack
from spk.ivector.extractor_files import read_extractor
from spk.ivector.extractor_training import (
    ExtractorStatistics,
    best_projections,
    covariance_floor,
    floored,
    initial_extractor,
    log_likelihood,
    update,
    update_prior,
)
from spk.ivector.full_gmm import FullGmm
from spk.ivector.gmm_files import read_full_gmm
from spk.ivector.utterance_statistics import UtteranceStatistics, add_second_order, utterance_statistics


def normal(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def positive_definite(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """[..., D, D] for shape [..., D]."""
    root = normal(generator, *shape, 2 * shape[-1])
    return root @ root.mT / shape[-1]


def relative(value: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """Frobenius norms of the differences of matrices, relative to those expected."""
    return (value - expected).norm(dim=(-2, -1)) / expected.norm(dim=(-2, -1))


def expected_statistics(extractor, utterances: UtteranceStatistics, second_order, dtype=torch.float64, blocks=1):
    statistics = ExtractorStatistics(extractor)
    statistics.second_order += second_order
    posterior_of = IvectorPosterior(extractor, dtype=dtype)
    parts = (tensor.chunk(blocks) for tensor in (utterances.occupancies, utterances.first_order))
    for occupancies, first_order in zip(*parts, strict=True):
        statistics.add(UtteranceStatistics(occupancies, first_order), posterior_of)
    return statistics


@pytest.fixture(scope="module")
def kaldi_statistics():
    utterances, _ = kaldi_ivectors()
    frames, num_frames = kaldi_frames(utterances)
    posteriors = kaldi_posteriors(utterances)
    second_order = torch.zeros(32, 39, 39, dtype=torch.float64)
    add_second_order(second_order, frames, posteriors.index, posteriors.value)
    return utterance_statistics(frames, posteriors.index, posteriors.value, num_frames, 32), second_order


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_three_iterations_end_at_kaldis_extractor(kaldi_statistics, dtype):
    extractor, expected = read_extractor(FILES / "extractor_init.txt"), read_extractor(FILES / "extractor.txt")
    likelihoods, offsets, floors = [], [], []
    for _ in range(3):
        statistics = expected_statistics(extractor, *kaldi_statistics, dtype, blocks=3)
        likelihoods.append(log_likelihood(extractor, statistics))
        result = update(extractor, statistics)
        extractor = result.extractor
        offsets.append(extractor.prior_offset)
        floors.append(result.num_floored)
        assert (result.num_not_updated, result.num_reverted) == (1, 0)
    assert offsets == pytest.approx([64.3528, 51.0649, 43.9382], abs=1e-4)
    assert floors == [105, 121, 126]
    assert likelihoods == sorted(likelihoods)
    # The axes from 1 on are eigenvectors, whose signs are free.
    signs = (extractor.projections * expected.projections).sum(dim=(0, 1)).sign()
    assert signs[0] == 1
    projections = extractor.projections * signs
    assert float((projections - expected.projections).norm() / expected.projections.norm()) < 5e-5
    assert float(relative(projections, expected.projections).max()) < 8e-5
    assert float(relative(extractor.covariances, expected.covariances).max()) < 5e-6


def test_the_first_extractor_has_the_ubms_means_and_random_directions():
    ubm = read_full_gmm(FILES / "full_ubm.txt")
    extractor = initial_extractor(ubm, 16, torch.Generator().manual_seed(1))
    kaldi = read_extractor(FILES / "extractor_init.txt")
    assert extractor.prior_offset == kaldi.prior_offset == 100
    torch.testing.assert_close(extractor.projections[:, :, 0], kaldi.projections[:, :, 0], rtol=0, atol=1e-6)
    torch.testing.assert_close(extractor.weights, kaldi.weights)
    assert float(relative(extractor.covariances, kaldi.covariances).max()) < 1e-5
    drawn = extractor.projections[:, :, 1:]
    assert float(drawn.mean()) == pytest.approx(0, abs=0.03)
    assert float(drawn.std()) == pytest.approx(1, abs=0.03)
    again = initial_extractor(ubm, 16, torch.Generator().manual_seed(1))
    assert torch.equal(again.projections, extractor.projections)
    other = initial_extractor(ubm, 16, torch.Generator().manual_seed(2))
    assert not torch.equal(other.projections, extractor.projections)


COUNT, DIM, IVECTOR_DIM, UTTERANCES, FRAMES = 4, 3, 3, 60, 40


def drawn_data():
    """Frames of utterances drawn from a model, each by a known Gaussian: (statistics, second order, frames, owners)."""
    generator = torch.Generator().manual_seed(0)
    projections = normal(generator, COUNT, DIM, IVECTOR_DIM)
    projections[:, :, 0] *= 3
    ivectors = normal(generator, UTTERANCES, IVECTOR_DIM) + torch.tensor([2.0, 0, 0])
    owners = torch.randint(COUNT, (UTTERANCES, FRAMES), generator=generator)
    factors = torch.linalg.cholesky(torch.eye(DIM) + 0.2 * positive_definite(generator, COUNT, DIM))
    noise = (factors[owners] @ normal(generator, UTTERANCES, FRAMES, DIM, 1))[..., 0]
    frames = torch.einsum("utds,us->utd", projections[owners], ivectors) + noise
    index, value = owners.reshape(-1, 1), torch.ones(UTTERANCES * FRAMES, 1)
    flat = frames.reshape(-1, DIM)
    second_order = torch.zeros(COUNT, DIM, DIM, dtype=torch.float64)
    add_second_order(second_order, flat, index, value)
    num_frames = torch.full((UTTERANCES,), FRAMES)
    return utterance_statistics(flat, index, value, num_frames, COUNT), second_order, frames, owners


def first_guess() -> IvectorExtractor:
    generator = torch.Generator().manual_seed(5)
    ubm = FullGmm(
        torch.tensor([0.1, 0.2, 0.3, 0.4]).double(),
        normal(generator, COUNT, DIM),
        10 * positive_definite(generator, COUNT, DIM),
    )
    return initial_extractor(ubm, IVECTOR_DIM, generator)


def test_the_likelihood_is_that_of_the_joint_gaussian_of_all_frames_of_an_utterance():
    utterances, second_order, frames, owners = drawn_data()
    extractor = first_guess()
    expected = 0.0
    for utterance in range(UTTERANCES):
        design = extractor.projections[owners[utterance]].reshape(-1, IVECTOR_DIM).numpy()
        covariance = design @ design.T
        for frame, owner in enumerate(owners[utterance].tolist()):
            part = slice(DIM * frame, DIM * (frame + 1))
            covariance[part, part] += extractor.covariances[owner].numpy()
        mean = extractor.prior_offset * design[:, 0]
        expected += multivariate_normal(mean, covariance).logpdf(frames[utterance].flatten().numpy())
    value = log_likelihood(extractor, expected_statistics(extractor, utterances, second_order))
    assert value == pytest.approx(expected / (UTTERANCES * FRAMES), rel=1e-9)


def test_the_likelihood_never_falls():
    utterances, second_order, *_ = drawn_data()
    extractor, likelihoods = first_guess(), []
    for _ in range(30):
        statistics = expected_statistics(extractor, utterances, second_order)
        likelihoods.append(log_likelihood(extractor, statistics))
        result = update(extractor, statistics)
        assert (result.num_floored, result.num_not_updated) == (0, 0)
        extractor = result.extractor
    assert all(later > earlier for earlier, later in itertools.pairwise(likelihoods))
    assert likelihoods[-1] - likelihoods[0] > 1


def test_after_training_ivectors_have_mean_p_and_unit_covariance():
    utterances, second_order, *_ = drawn_data()
    extractor = first_guess()
    deviations = []
    for _ in range(300):
        statistics = expected_statistics(extractor, utterances, second_order)
        scatter = unpack(statistics.scatter) / UTTERANCES - torch.eye(IVECTOR_DIM)
        deviations.append(max(float(statistics.mean.abs().max()) / UTTERANCES, float(scatter.abs().max())))
        extractor = update(extractor, statistics).extractor
    assert deviations[0] > 1
    assert deviations[-1] < 0.03


def test_a_gaussian_with_little_data_keeps_its_covariance_and_its_mean_over_utterances():
    utterances, second_order, *_ = drawn_data()
    share = 99 / utterances.occupancies[:, 2].sum()
    utterances.occupancies[:, 2] *= share
    utterances.first_order[:, 2] *= share
    second_order[2] *= share
    extractor = first_guess()
    statistics = expected_statistics(extractor, utterances, second_order)
    result = update(extractor, statistics)
    assert result.num_not_updated == 1
    assert torch.equal(result.extractor.covariances[2], extractor.covariances[2])
    assert not torch.equal(result.extractor.covariances[1], extractor.covariances[1])
    shift = statistics.mean / UTTERANCES
    torch.testing.assert_close(result.extractor.means[2], extractor.means[2] + extractor.projections[2] @ shift)


def test_a_change_of_the_prior_leaves_the_distribution_of_means_as_it_is():
    generator = torch.Generator().manual_seed(0)
    extractor = IvectorExtractor(
        normal(generator, 5, 3, 4), positive_definite(generator, 5, 3), torch.full((5,), 0.2).double(), 20.0
    )
    shift, covariance = normal(generator, 4), positive_definite(generator, 4)
    moved = update_prior(extractor, shift, covariance + torch.outer(shift, shift))
    old_mean = shift + torch.tensor([20.0, 0, 0, 0])
    torch.testing.assert_close(moved.means, extractor.projections @ old_mean)
    torch.testing.assert_close(
        moved.projections @ moved.projections.mT, extractor.projections @ covariance @ extractor.projections.mT
    )
    assert moved.prior_offset == pytest.approx(float(old_mean @ torch.linalg.solve(covariance, old_mean)) ** 0.5)
    # Axes from 1 on in the order of what they tell about: the largest first.
    precision = (moved.projections.mT @ torch.linalg.solve(moved.covariances, moved.projections)).mean(dim=0)
    assert precision.diagonal()[1:].tolist() == sorted(precision.diagonal()[1:].tolist(), reverse=True)


def test_an_axis_on_which_ivectors_hardly_differ_counts_as_of_the_least_variance():
    extractor = first_guess()
    scatter = torch.diag(torch.tensor([1.0, 1.0, 1e-12])).double()
    moved = update_prior(extractor, torch.zeros(IVECTOR_DIM).double(), scatter)
    assert moved.prior_offset == pytest.approx(extractor.prior_offset)
    # Projections become M V^-1, where det V is the root of 1 / (1 * 1 * variance), and the variance 1e-7 for 1e-12.
    volumes = torch.linalg.det(moved.projections) / torch.linalg.det(extractor.projections)
    assert volumes.abs().tolist() == pytest.approx([1e-7**0.5] * COUNT)


def test_projections_solve_the_normal_equations_where_these_are_well_conditioned():
    generator = torch.Generator().manual_seed(0)
    scatter, cross = positive_definite(generator, 2, 4), normal(generator, 2, 3, 4)
    new, reverted = best_projections(
        normal(generator, 2, 3, 4), positive_definite(generator, 2, 3), cross, 1e3 * scatter
    )
    torch.testing.assert_close(new @ (1e3 * scatter), cross)
    assert not reverted.any()


def test_projections_stay_as_they_are_in_directions_of_which_the_data_say_nothing():
    generator = torch.Generator().manual_seed(0)
    seen, unseen = torch.tensor([[1.0, 1.0], [1.0, -1.0]]).double()
    scatter = 50 * torch.outer(seen, seen)[None]
    old, wanted = normal(generator, 1, 3, 2), normal(generator, 1, 3, 2)
    new, _ = best_projections(old, positive_definite(generator, 1, 3), wanted @ scatter, scatter)
    torch.testing.assert_close(new @ seen, wanted @ seen)
    torch.testing.assert_close(new @ unseen, old @ unseen)


def test_projections_that_rounding_would_make_worse_are_those_of_before():
    # By exact arithmetic no step is for the worse; from the best projections half of the steps are, by rounding.
    generator = torch.Generator().manual_seed(0)
    scatter, cross = positive_definite(generator, 1000, 4), normal(generator, 1000, 3, 4)
    covariances = positive_definite(generator, 1000, 3)
    best, _ = best_projections(normal(generator, 1000, 3, 4), covariances, cross, scatter)
    again, reverted = best_projections(best, covariances, cross, scatter)
    assert 100 < int(reverted.sum()) < 900
    assert torch.equal(again[reverted], best[reverted])
    torch.testing.assert_close(again, best)
    assert bool((again != best)[~reverted].any())


def test_a_floored_covariance_is_nowhere_below_the_floor_and_as_before_elsewhere():
    floor = torch.diag(torch.tensor([1.0, 4.0])).double()
    turned = torch.tensor([[2.0, 1.0], [1.0, 9.0]]).double()
    covariances = torch.stack([torch.diag(torch.tensor([3.0, 1.0])).double(), turned, 0.5 * floor])
    result, count = floored(covariances, floor)
    torch.testing.assert_close(result[0], torch.diag(torch.tensor([3.0, 4.0])).double())
    torch.testing.assert_close(result[1], turned)
    torch.testing.assert_close(result[2], floor)
    assert count == 3


def test_the_floor_is_a_tenth_of_the_mean_covariance_and_never_singular():
    floor = covariance_floor(torch.diag(torch.tensor([20.0, 5.0, 0.0])).double())
    torch.testing.assert_close(floor, torch.diag(torch.tensor([2.0, 0.5, 2e-4])).double())
