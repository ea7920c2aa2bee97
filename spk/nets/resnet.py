"""The trunk and head that ResNet-34 and ResNet-50 share: He et al., CVPR 2016 (arXiv:1512.03385), table 1."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from spk.nets.initialization import initialize_convolutions
from spk.nets.masking import MaskedMaxPool2d, least_frames
from spk.nets.pooling import POOLINGS, Pooling
from spk.nets.recomputation import Trunk
from spk.nets.residual_block import BasicBlock, Bottleneck, ConvNorm

BLOCKS = (3, 4, 6, 3)
STRIDES = (1, 2, 2, 2)
BINS_STRIDE = 32  # of the whole trunk; every layer rounds up


class ResNet(Trunk):
    """Features [N, T, num_bins] -> embeddings [N, embedding_dim].

    conv 7x7 stride 2, max-pool 3x3 stride 2, four stages of blocks, pooling over time, linear. `widths` are the
    channels of the first convolution and of the stages; with `inner_widths`, blocks are bottlenecks. `frequency` says
    what becomes of the bins that are left: their mean, as in images, or the channels of each side by side, which with
    `tap` and the linear layer is the 9x1 convolution and the average over time that Chung et al. have on 257 bins.
    """

    def __init__(
        self,
        num_bins: int,
        widths: list[int],
        inner_widths: list[int] | None,
        embedding_dim: int,
        pooling: Pooling,
        frequency: Literal["mean", "each"],
    ) -> None:
        super().__init__()
        stem, *widths = widths
        self.stem = ConvNorm(1, stem, 7, stride=2)
        self.max_pool = MaskedMaxPool2d((3, 3), (2, 2), (1, 1))
        self.blocks = nn.ModuleList()
        in_channels = stem
        for stage, (width, count, stride) in enumerate(zip(widths, BLOCKS, STRIDES, strict=True)):
            for index in range(count):
                first_stride = stride if index == 0 else 1
                if inner_widths is None:
                    self.blocks.append(BasicBlock(in_channels, width, first_stride))
                else:
                    self.blocks.append(Bottleneck(in_channels, inner_widths[stage], width, first_stride))
                in_channels = width
        self.frequency = frequency
        bins = math.ceil(num_bins / BINS_STRIDE) if frequency == "each" else 1
        self.pooling = POOLINGS.build("network.pooling", pooling, channels=in_channels * bins)
        self.embedding = nn.Linear(self.pooling.out_dim, embedding_dim)
        self.min_frames = least_frames(self)
        initialize_convolutions(self)

    def forward(self, x_NTF: Tensor, lengths_N: Tensor | None = None) -> Tensor:
        x_NCFT, lengths_N = self.run(self.pooled_stem, x_NTF.transpose(1, 2)[:, None], lengths_N)
        for block in self.blocks:
            x_NCFT, lengths_N = self.run(block, x_NCFT, lengths_N)
        x_NCT = x_NCFT.mean(dim=2) if self.frequency == "mean" else x_NCFT.flatten(1, 2)
        return self.embedding(self.pooling(x_NCT, lengths_N))

    def pooled_stem(self, x_NCFT: Tensor, lengths_N: Tensor | None) -> tuple[Tensor, Tensor | None]:
        x_NCFT, lengths_N = self.stem(x_NCFT, lengths_N)
        return self.max_pool(torch.relu_(x_NCFT), lengths_N)
