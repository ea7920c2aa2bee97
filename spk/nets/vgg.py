"""What the VGG-M networks share: convolutions with max-pools between, a convolution over all bins, pooling, linear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from spk.nets.initialization import initialize_convolutions
from spk.nets.masking import MaskedConv2d, MaskedMaxPool2d, least_frames
from spk.nets.pooling import POOLINGS, Pooling
from spk.nets.recomputation import Trunk

Pair = tuple[int, int]  # over frequency, over time


class VGGLayer(nn.Module):
    """Convolution with bias - BN - ReLU; arguments as of Conv2d.

    [N, in_channels, F, T] and lengths -> [N, out_channels, F', T'] and lengths.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: Pair, stride: Pair = (1, 1), padding: int = 0
    ) -> None:
        super().__init__()
        self.conv = MaskedConv2d(in_channels, out_channels, kernel, stride, padding)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x_NCFT: Tensor, lengths_N: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        x_NCFT, lengths_N = self.conv(x_NCFT, lengths_N)
        return torch.relu_(self.bn(x_NCFT)), lengths_N


class VGG(Trunk):
    """Features [N, T, num_bins] -> embeddings [N, embedding_dim].

    `convs`: width, kernel, stride and padding of each; `pools`: after which of them a max-pool follows, its kernel and
    stride. In a network for few bins a max-pool is no higher than what reaches it. The convolution over all the bins
    that are left has `frame_channels`. `channels` multiplies every width.
    """

    def __init__(
        self,
        num_bins: int,
        channels: float,
        embedding_dim: int,
        pooling: Pooling,
        *,
        convs: Sequence[tuple[int, Pair, Pair, int]],
        pools: Mapping[int, tuple[Pair, Pair]],
        frame_channels: int,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        in_channels, bins = 1, num_bins
        for index, (width, kernel, stride, padding) in enumerate(convs):
            width = max(1, round(width * channels))
            self.layers.append(VGGLayer(in_channels, width, kernel, stride, padding))
            in_channels, bins = width, (bins + 2 * padding - kernel[0]) // stride[0] + 1
            if index in pools:
                (height, frames), strides = pools[index]
                height = min(height, bins)
                self.layers.append(MaskedMaxPool2d((height, frames), strides, (0, 0)))
                bins = (bins - height) // strides[0] + 1
        frame_channels = max(1, round(frame_channels * channels))
        self.layers.append(VGGLayer(in_channels, frame_channels, (bins, 1)))
        self.pooling = POOLINGS.build("network.pooling", pooling, channels=frame_channels)
        self.embedding = nn.Linear(self.pooling.out_dim, embedding_dim)
        self.min_frames = least_frames(self)
        initialize_convolutions(self)

    def forward(self, x_NTF: Tensor, lengths_N: Tensor | None = None) -> Tensor:
        x_NCFT = x_NTF.transpose(1, 2)[:, None]
        for layer in self.layers:
            x_NCFT, lengths_N = self.run(layer, x_NCFT, lengths_N)
        return self.embedding(self.pooling(x_NCFT[:, :, 0], lengths_N))
