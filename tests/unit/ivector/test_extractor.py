"""Posteriors of i-vectors against conditioning of a joint Gaussian, and against Kaldi's i-vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from unit.ivector.kaldi_oracle import FILES, kaldi_frames, kaldi_ivectors, kaldi_posteriors

from spk.ivector.extractor import IvectorExtractor, IvectorPosterior, pack, unpack
from spk.ivector.extractor_files import read_extractor
from spk.ivector.utterance_statistics import utterance_statistics

COUNT, DIM, IVECTOR_DIM = 3, 2, 4


def draw_extractor(generator: torch.Generator) -> IvectorExtractor:
    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    root = normal(COUNT, DIM, DIM)
    covariances = root @ root.mT + 0.5 * torch.eye(DIM)
    return IvectorExtractor(normal(COUNT, DIM, IVECTOR_DIM), covariances, torch.full((COUNT,), 1 / COUNT).double(), 7.0)


def by_conditioning(extractor: IvectorExtractor, frames: np.ndarray, index: np.ndarray, value: np.ndarray):
    """Mean and covariance of x - p e0, and log p(frames) - log p(frames | x = p e0).

    A frame with the posterior g of Gaussian c is an observation of M_c x with the noise Sigma_c / g.
    """
    seen = [(t, c, g) for t in range(len(frames)) for c, g in zip(index[t], value[t], strict=True) if g > 0]
    observed = np.concatenate([frames[t] for t, _, _ in seen])
    design = np.concatenate([extractor.projections[c].numpy() for _, c, _ in seen])
    noise = np.zeros((len(observed), len(observed)))
    for place, (_, c, g) in enumerate(seen):
        part = slice(DIM * place, DIM * (place + 1))
        noise[part, part] = extractor.covariances[c].numpy() / g
    prior_mean = extractor.prior_offset * np.eye(IVECTOR_DIM)[0]
    total = design @ design.T + noise
    gain = design.T @ np.linalg.inv(total)
    expected = design @ prior_mean
    ratio = multivariate_normal(expected, total).logpdf(observed) - multivariate_normal(expected, noise).logpdf(
        observed
    )
    return gain @ (observed - expected), np.eye(IVECTOR_DIM) - gain @ design, ratio


def test_the_posterior_is_that_of_the_joint_gaussian_of_ivector_and_frames():
    generator = torch.Generator().manual_seed(0)
    extractor = draw_extractor(generator)
    num_frames = torch.tensor([6, 1, 3])
    frames = 5 + torch.randn(10, DIM, generator=generator, dtype=torch.float64)
    index = torch.stack([torch.randperm(COUNT, generator=generator)[:2] for _ in range(10)])
    value = torch.rand(10, 2, generator=generator, dtype=torch.float64)
    value[::3, 1] = 0
    statistics = utterance_statistics(frames, index, value, num_frames, COUNT)
    posterior_of = IvectorPosterior(extractor)
    posterior = posterior_of(
        statistics.occupancies, posterior_of.centre(statistics.occupancies, statistics.first_order)
    )
    ends = num_frames.cumsum(0).tolist()
    for row, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        mean, covariance, ratio = by_conditioning(
            extractor, *(tensor[start:end].numpy() for tensor in (frames, index, value))
        )
        np.testing.assert_allclose(posterior.mean[row], mean, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(posterior.covariance()[row], covariance, rtol=1e-8, atol=1e-10)
        assert float(posterior.log_likelihood()[row]) == pytest.approx(ratio, rel=1e-8)


def test_an_utterance_without_frames_has_the_prior():
    posterior_of = IvectorPosterior(draw_extractor(torch.Generator().manual_seed(0)))
    posterior = posterior_of(torch.zeros(1, COUNT).double(), torch.zeros(1, COUNT, DIM).double())
    assert not posterior.mean.any()
    torch.testing.assert_close(posterior.covariance()[0], torch.eye(IVECTOR_DIM).double())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-5), (torch.float32, 1e-4)])
def test_ivectors_are_kaldis(dtype, tolerance):
    utterances, expected = kaldi_ivectors()
    frames, num_frames = kaldi_frames(utterances)
    posteriors = kaldi_posteriors(utterances)
    statistics = utterance_statistics(frames, posteriors.index, posteriors.value, num_frames, 32)
    posterior_of = IvectorPosterior(read_extractor(FILES / "extractor.txt"), dtype=dtype)
    centred = posterior_of.centre(statistics.occupancies, statistics.first_order)
    mean = posterior_of(statistics.occupancies, centred).mean
    assert mean.dtype == dtype
    assert np.abs(mean.numpy() - expected).max() < tolerance


def test_a_packed_matrix_is_its_lower_triangle_row_by_row():
    matrix = torch.tensor([[1, 2, 4], [2, 3, 5], [4, 5, 6]])
    assert pack(matrix).tolist() == [1, 2, 3, 4, 5, 6]
    assert torch.equal(unpack(pack(matrix)), matrix)
