"""Thin ResNet-34 with GhostVLAD: Xie et al., Utterance-level aggregation for speaker recognition in the wild.

ICASSP 2019 (arXiv:1902.10107), table 1. Its input is a magnitude spectrogram of 257 bins with `frame` normalisation.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor, nn

from spk.nets.initialization import initialize_convolutions
from spk.nets.masking import MaskedConv2d, MaskedMaxPool2d, least_frames
from spk.nets.pooling import POOLINGS, Pooling
from spk.nets.recomputation import Trunk
from spk.nets.registry import NETWORKS, require_bins
from spk.nets.residual_block import Bottleneck, ConvNorm
from spk.schema import AT_LEAST_ONE, POSITIVE

STEM = 64
STAGES = ((48, 96, 2), (96, 128, 3), (128, 256, 3), (256, 512, 3))  # inner channels, channels, blocks
FRAME_CHANNELS = 512
LEAST_BINS = 2  # the first max-pool's kernel


@NETWORKS.register("thin_resnet34_ghostvlad")
class ThinResNet34GhostVLAD(Trunk):
    """Features [N, T, num_bins] -> embeddings [N, embedding_dim].

    conv 7x7 - BN - ReLU - max-pool 2x2, four stages of bottleneck blocks, max-pool 3x1, a convolution over all the bins
    that are left (7 of 257), ReLU, pooling, linear. In a network for few bins the last max-pool is no higher than what
    reaches it. Raises: InputError for a single bin. Counted on 257 bins: 7.6 M parameters, 3.9 G multiply-adds for 250
    frames.
    """

    def __init__(
        self,
        num_bins: int,
        channels: Annotated[float, POSITIVE] = 1.0,
        embedding_dim: Annotated[int, AT_LEAST_ONE] = 512,
        pooling: Pooling = "ghostvlad",
    ) -> None:
        super().__init__()
        require_bins("thin_resnet34_ghostvlad", num_bins, LEAST_BINS)

        def scaled(width: int) -> int:
            return max(1, round(width * channels))

        self.stem = ConvNorm(1, scaled(STEM), 7)
        self.stem_pool = MaskedMaxPool2d((2, 2), (2, 2), (0, 0))
        self.blocks = nn.ModuleList()
        in_channels, bins = scaled(STEM), num_bins // 2
        for stage, (inner, width, count) in enumerate(STAGES):
            for index in range(count):
                stride = 2 if stage > 0 and index == 0 else 1
                self.blocks.append(Bottleneck(in_channels, scaled(inner), scaled(width), stride))
                in_channels, bins = scaled(width), math.ceil(bins / stride)
        height = min(3, bins)
        self.last_pool = MaskedMaxPool2d((height, 1), (2, 1), (0, 0))
        bins = (bins - height) // 2 + 1
        self.frames = MaskedConv2d(in_channels, scaled(FRAME_CHANNELS), (bins, 1))
        self.pooling = POOLINGS.build("network.pooling", pooling, channels=scaled(FRAME_CHANNELS))
        self.embedding = nn.Linear(self.pooling.out_dim, embedding_dim)
        self.min_frames = least_frames(self)
        initialize_convolutions(self)

    def forward(self, x_NTF: Tensor, lengths_N: Tensor | None = None) -> Tensor:
        x_NCFT, lengths_N = self.run(self.pooled_stem, x_NTF.transpose(1, 2)[:, None], lengths_N)
        for block in self.blocks:
            x_NCFT, lengths_N = self.run(block, x_NCFT, lengths_N)
        x_NCFT, lengths_N = self.last_pool(x_NCFT, lengths_N)
        x_NCFT, lengths_N = self.frames(x_NCFT, lengths_N)
        return self.embedding(self.pooling(torch.relu(x_NCFT[:, :, 0]), lengths_N))

    def pooled_stem(self, x_NCFT: Tensor, lengths_N: Tensor | None) -> tuple[Tensor, Tensor | None]:
        x_NCFT, lengths_N = self.stem(x_NCFT, lengths_N)
        return self.stem_pool(torch.relu_(x_NCFT), lengths_N)
