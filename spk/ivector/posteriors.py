"""Posteriors of a frame under few Gaussians of the UBM: Kaldi's gmm-gselect and fgmm-global-gselect-to-post."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from spk.errors import InputError
from spk.ivector.diagonal_gmm import DiagonalGmm
from spk.ivector.full_gmm import FullGmm

SCORES_AT_A_TIME = 1 << 22  # log-likelihoods of frames under all Gaussians: what the cache of a processor holds, nearly


@dataclass(frozen=True)
class Posteriors:
    """Of each frame n Gaussians, best first by the diagonal model: index [T, n] int64, value [T, n].

    The values of a frame sum to 1; a Gaussian that was pruned has the value 0.
    """

    index: Tensor
    value: Tensor


def select_gaussians(diagonal: DiagonalGmm, frames: Tensor, num_gselect: int) -> tuple[Tensor, Tensor]:
    """The `num_gselect` likeliest Gaussians of every frame (all, when there are fewer), best first.

    frames [T, D] -> (log-likelihoods [T, n], index [T, n] int64), both on the frames' device.
    """
    if frames.ndim != 2 or frames.shape[1] != diagonal.dim:
        raise InputError(f"frames of shape {list(frames.shape)} do not fit the UBM, whose dimension is {diagonal.dim}")
    num_gselect = min(num_gselect, diagonal.num_gaussians)
    value = torch.empty((len(frames), num_gselect), dtype=frames.dtype, device=frames.device)
    index = torch.empty((len(frames), num_gselect), dtype=torch.int64, device=frames.device)
    step = max(1, SCORES_AT_A_TIME // diagonal.num_gaussians)
    for start in range(0, len(frames), step):
        part = slice(start, start + step)
        value[part], index[part] = diagonal.log_likelihoods(frames[part]).topk(num_gselect, dim=1)
    return value, index


def prune(value: Tensor, min_post: float) -> Tensor:
    """Posteriors [T, n] below min_post become 0, and what is left sums to 1; where nothing is, the largest gets 1."""
    if min_post <= 0:
        return value
    largest = value.amax(dim=1, keepdim=True)
    kept = torch.where(value >= largest.clamp_max(min_post), value, 0)
    return kept / kept.sum(dim=1, keepdim=True)


def frame_posteriors(
    diagonal: DiagonalGmm, full: FullGmm, frames: Tensor, num_gselect: int = 20, min_post: float = 0.025
) -> Posteriors:
    """p(c | x_t) under the full model among the Gaussians that the diagonal model selects.

    frames [T, D], in the type and on the device that all is computed in. Raises InputError for another D.
    """
    _, index = select_gaussians(diagonal, frames, num_gselect)
    value = full.log_likelihoods(frames, index).softmax(dim=1)
    return Posteriors(index, prune(value, min_post))
