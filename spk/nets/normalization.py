"""What is done to features between the ark and the network. After cropping, so that it sees what the network gets."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from spk.nets.masking import masked_mean, zero_padding
from spk.registry import Registry
from spk.schema import POSITIVE

NORMALIZATIONS = Registry("normalization", given=("num_bins",))


@NORMALIZATIONS.register("none")
class NoNormalization(nn.Module):
    """The features as they are."""

    def __init__(self, num_bins: int) -> None:
        super().__init__()

    def forward(self, x_NFT: Tensor, lengths_N: Tensor | None = None) -> Tensor:
        return x_NFT


@NORMALIZATIONS.register("mean")
class MeanNormalization(nn.Module):
    """Subtract each bin's mean over time."""

    def __init__(self, num_bins: int) -> None:
        super().__init__()

    def forward(self, x_NFT: Tensor, lengths_N: Tensor | None = None) -> Tensor:
        return zero_padding(x_NFT - masked_mean(x_NFT, lengths_N)[..., None], lengths_N)


@NORMALIZATIONS.register("instance")
class InstanceNormalization(nn.Module):
    """Zero mean and unit variance over time in each bin, variance biased, no affine map.

    Ulyanov et al., Instance Normalization (arXiv:1607.08022), as 'In defence of metric learning for speaker
    recognition', section 3.1, applies it to the network's input. [N, F, T] -> [N, F, T].
    """

    def __init__(self, num_bins: int, eps: Annotated[float, POSITIVE] = 1e-5) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x_NFT: Tensor, lengths_N: Tensor | None = None) -> Tensor:
        centred = zero_padding(x_NFT - masked_mean(x_NFT, lengths_N)[..., None], lengths_N)
        variance_NF = masked_mean(centred.square(), lengths_N)
        return centred * torch.rsqrt(variance_NF + self.eps)[..., None]


@NORMALIZATIONS.register("frame")
class FrameNormalization(nn.Module):
    """Zero mean and unit standard deviation over frequency in each frame, for magnitude spectrograms.

    The code published with Xie et al., Utterance-level aggregation for speaker recognition in the wild, ICASSP 2019
    (arXiv:1902.10107): (x - mean) / (std + 1e-5), std biased. [N, F, T] -> [N, F, T].
    """

    def __init__(self, num_bins: int, eps: Annotated[float, POSITIVE] = 1e-5) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x_NFT: Tensor, lengths_N: Tensor | None = None) -> Tensor:
        centred = zero_padding(x_NFT - x_NFT.mean(dim=1, keepdim=True), lengths_N)
        return centred / (centred.square().mean(dim=1, keepdim=True).sqrt() + self.eps)


@NORMALIZATIONS.register("global")
class GlobalNormalization(nn.Module):
    """Zero mean and unit variance of each bin over the training data, as running statistics.

    Batch norm without an affine map. Keeps what an utterance's own mean tells of its speaker and of its channel,
    which `instance` removes.
    """

    def __init__(self, num_bins: int) -> None:
        super().__init__()
        self.statistics = nn.BatchNorm1d(num_bins, affine=False)

    def forward(self, x_NFT: Tensor, lengths_N: Tensor | None = None) -> Tensor:
        return zero_padding(self.statistics(x_NFT), lengths_N)
