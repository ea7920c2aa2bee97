"""Fast ResNet-34 of 'In defence of metric learning for speaker recognition', Interspeech 2020 (arXiv:2003.11982).

A quarter of ResNet-34's channels, on 40 mel bins, with early strides. At full width, 512 dimensions, self-attentive
pooling: 1.4 M parameters, 0.45 G multiply-adds for 2 s.
"""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import Tensor, nn

from spk.nets.initialization import initialize_convolutions
from spk.nets.masking import MaskedConv2d
from spk.nets.pooling import POOLINGS
from spk.nets.registry import NETWORKS
from spk.nets.se_block import SEBlock
from spk.schema import AT_LEAST_ONE, POSITIVE

CHANNELS = (16, 32, 64, 128)
BLOCKS = (3, 4, 6, 3)
STRIDES = (1, 2, 2, 1)


@NETWORKS.register("fast_resnet34")
class FastResNet34(nn.Module):
    """Features [N, T, num_bins] -> embeddings [N, embedding_dim].

    `channels` multiplies every layer's width; `se` keeps the published code's squeeze-excitation, which the paper does
    not mention.
    """

    min_frames = 1

    def __init__(
        self,
        num_bins: int,
        channels: Annotated[float, POSITIVE] = 1.0,
        embedding_dim: Annotated[int, AT_LEAST_ONE] = 512,
        pooling: str | dict[str, Any] = "sap",
        se: bool = True,
    ) -> None:
        super().__init__()
        widths = [max(1, round(width * channels)) for width in CHANNELS]
        self.conv1 = MaskedConv2d(1, widths[0], 7, stride=(2, 1), padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.blocks = nn.ModuleList()
        in_channels = widths[0]
        for width, count, stride in zip(widths, BLOCKS, STRIDES, strict=True):
            for index in range(count):
                self.blocks.append(SEBlock(in_channels, width, stride if index == 0 else 1, se))
                in_channels = width
        self.pooling = POOLINGS.build("network.pooling", pooling, channels=in_channels)
        self.embedding = nn.Linear(self.pooling.out_dim, embedding_dim)
        initialize_convolutions(self)

    def forward(self, x_NTF: Tensor, lengths_N: Tensor | None = None) -> Tensor:
        x_NCFT, lengths_N = self.conv1(x_NTF.transpose(1, 2)[:, None], lengths_N)
        x_NCFT = torch.relu(self.bn1(x_NCFT))
        for block in self.blocks:
            x_NCFT, lengths_N = block(x_NCFT, lengths_N)
        return self.embedding(self.pooling(x_NCFT.mean(dim=2), lengths_N))
