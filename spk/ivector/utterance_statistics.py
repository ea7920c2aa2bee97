"""What the i-vector model needs to know of an utterance: how much of each Gaussian, and the sums of its frames."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from spk.ivector.pairs import pairs_by_gaussian

ENTRIES_AT_A_TIME = 1 << 16  # of the posteriors, with a copy of their frames: a bound on memory


@dataclass(frozen=True)
class UtteranceStatistics:
    """Of U utterances, for C Gaussians and frames o of D values; float64."""

    occupancies: Tensor  # [U, C]: gamma_c = sum over frames of the posterior of c
    first_order: Tensor  # [U, C, D]: X_c = sum over frames of the posterior of c times o

    def limited(self, max_count: float) -> UtteranceStatistics:
        """Scaled, where an utterance has more than `max_count` frames in all, so that it counts for so many."""
        scale = (max_count / self.occupancies.sum(dim=1)).clamp_max(1)
        return UtteranceStatistics(scale[:, None] * self.occupancies, scale[:, None, None] * self.first_order)


def utterances_at_a_time(num_gaussians: int, feature_dim: int, ivector_dim: int, most_values: int = 1 << 24) -> int:
    """How many utterances a block may have so that neither U C D nor U S S exceeds `most_values`; at least one."""
    return max(1, most_values // max(num_gaussians * feature_dim, ivector_dim**2))


def utterance_statistics(
    frames: Tensor, index: Tensor, value: Tensor, num_frames: Tensor, num_gaussians: int
) -> UtteranceStatistics:
    """Statistics of the utterances of a block.

    Shapes: frames [T, D], those of all U utterances one after another, utterance u having num_frames[u] (int64 [U]) of
    them; posteriors sparse: Gaussian index[t, k] (int64 [T, n]) has value[t, k] in frame t, 0 where there is none.
    """
    num_utterances, dim = len(num_frames), frames.shape[1]
    utterance_of = torch.repeat_interleave(torch.arange(num_utterances, device=frames.device), num_frames)
    occupancies = frames.new_zeros(num_utterances * num_gaussians, dtype=torch.float64)
    first_order = frames.new_zeros(num_utterances * num_gaussians, dim, dtype=torch.float64)
    frame, place = torch.nonzero(value, as_tuple=True)
    parts = (entries.split(ENTRIES_AT_A_TIME) for entries in (frame, place))
    for frame_part, place_part in zip(*parts, strict=True):
        cell = utterance_of[frame_part] * num_gaussians + index[frame_part, place_part]
        posterior = value[frame_part, place_part].double()
        occupancies.index_add_(0, cell, posterior)
        first_order.index_add_(0, cell, posterior[:, None] * frames[frame_part])
    return UtteranceStatistics(
        occupancies.view(num_utterances, num_gaussians), first_order.view(num_utterances, num_gaussians, dim)
    )


def add_second_order(total: Tensor, frames: Tensor, index: Tensor, value: Tensor) -> None:
    """Add to total[c] (float64 [C, D, D]) the sum over frames of the posterior of c times o o'.

    Shapes as in `utterance_statistics`. Each Gaussian is one matrix product.
    """
    pairs = pairs_by_gaussian(index, len(total), keep=value > 0)
    posteriors = value.flatten()[pairs.order].double()
    for gaussian, group in pairs:
        selected = frames[pairs.frame[group]].double()
        total[gaussian].addmm_((selected * posteriors[group, None]).T, selected)
