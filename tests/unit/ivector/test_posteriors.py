"""Log-likelihoods and posteriors against scipy and against Kaldi's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from unit.ivector.kaldi_oracle import FILES, kaldi_frames, kaldi_ivectors, kaldi_posteriors

from spk.errors import InputError
from spk.ivector.full_gmm import FullGmm
from spk.ivector.gmm_files import read_full_gmm
from spk.ivector.pairs import pairs_by_gaussian
from spk.ivector.posteriors import frame_posteriors, prune, select_gaussians


@pytest.fixture(scope="module")
def gmm() -> FullGmm:
    """Five correlated Gaussians of four dimensions."""
    generator = torch.Generator().manual_seed(0)
    factors = torch.randn(5, 4, 4, generator=generator, dtype=torch.float64)
    weights = torch.tensor([0.1, 0.3, 0.2, 0.25, 0.15], dtype=torch.float64)
    means = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    return FullGmm(weights, means, factors @ factors.mT + 0.5 * torch.eye(4, dtype=torch.float64))


def definition(gmm: FullGmm, frames: torch.Tensor) -> np.ndarray:
    """log w_c N(x_t; mean_c, covariance_c): [T, C]."""
    columns = [
        float(weight.log()) + multivariate_normal(mean, covariance).logpdf(frames)
        for weight, mean, covariance in zip(gmm.weights, gmm.means.numpy(), gmm.covariances.numpy(), strict=True)
    ]
    return np.stack(columns, axis=1)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_log_likelihoods_are_those_of_the_normal_density(gmm, dtype, tolerance):
    frames = torch.randn(50, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    index = torch.randint(5, (50, 3), generator=torch.Generator().manual_seed(2))
    expected = np.take_along_axis(definition(gmm, frames), index.numpy(), axis=1)
    np.testing.assert_allclose(gmm.log_likelihoods(frames.to(dtype), index), expected, rtol=tolerance, atol=tolerance)
    diagonal = gmm.diagonal()
    expected = definition(FullGmm.from_diagonal(diagonal), frames)
    np.testing.assert_allclose(diagonal.log_likelihoods(frames.to(dtype)), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_posteriors_are_kaldis_and_in_its_order(dtype):
    utterances, _ = kaldi_ivectors()
    frames, _ = kaldi_frames(utterances)
    expected = kaldi_posteriors(utterances)
    full = read_full_gmm(FILES / "full_ubm.txt")
    posteriors = frame_posteriors(full.diagonal(), full, frames.to(dtype))
    kept = posteriors.value > 0
    assert (kept.sum(dim=1) == (expected.value > 0).sum(dim=1)).all()
    np.testing.assert_array_equal(posteriors.index[kept], expected.index[expected.value > 0])
    np.testing.assert_allclose(posteriors.value[kept], expected.value[expected.value > 0], atol=1e-5)


def test_selected_gaussians_are_the_likeliest_of_the_diagonal_model_best_first(gmm):
    frames = torch.randn(20, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    expected = np.argsort(-definition(FullGmm.from_diagonal(gmm.diagonal()), frames), axis=1)
    np.testing.assert_array_equal(select_gaussians(gmm.diagonal(), frames, 3)[1], expected[:, :3])
    np.testing.assert_array_equal(select_gaussians(gmm.diagonal(), frames, 50)[1], expected)


def test_pruning_worked_by_hand():
    value = torch.tensor([[0.5, 0.3, 0.19, 0.01], [0.25, 0.25, 0.25, 0.25], [0.2, 0.3, 0.26, 0.24]])
    expected = [[0.625, 0.375, 0, 0], [0.25] * 4, [0, 0.3 / 0.56, 0.26 / 0.56, 0]]
    np.testing.assert_allclose(prune(value, 0.25), expected, atol=1e-6)
    np.testing.assert_allclose(prune(value, 0.9)[[0, 2]], [[1, 0, 0, 0], [0, 1, 0, 0]])  # all dropped: the largest
    assert prune(value, 0) is value


def test_pairs_are_grouped_by_gaussian_and_in_each_by_frame():
    index = torch.tensor([[2, 0], [0, 3], [2, 3]])
    pairs = pairs_by_gaussian(index, 5)
    assert {g: pairs.frame[group].tolist() for g, group in pairs} == {0: [0, 1], 2: [0, 2], 3: [1, 2]}
    assert index.flatten()[pairs.order].tolist() == [0, 0, 2, 2, 3, 3]
    some = pairs_by_gaussian(index, 5, keep=torch.tensor([[True, False], [True, False], [False, True]]))
    assert {g: some.frame[group].tolist() for g, group in some} == {0: [1], 2: [0], 3: [2]}
    assert some.order.tolist() == [2, 0, 5]


def test_frames_of_another_dimension_are_an_error(gmm):
    with pytest.raises(InputError, match=r"shape \[3, 5\] do not fit the UBM, whose dimension is 4"):
        frame_posteriors(gmm.diagonal(), gmm, torch.zeros(3, 5))
