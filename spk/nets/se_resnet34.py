"""What Thin and Fast ResNet-34 share: a quarter of ResNet-34's channels, squeeze-excitation, mean over frequency."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from spk.nets.initialization import initialize_convolutions
from spk.nets.masking import MaskedConv2d, MaskedMaxPool2d, least_frames
from spk.nets.pooling import POOLINGS, Pooling
from spk.nets.recomputation import Trunk
from spk.nets.se_block import SEBlock

CHANNELS = (16, 32, 64, 128)
BLOCKS = (3, 4, 6, 3)


class SEResNet34(Trunk):
    """Features [N, T, num_bins] -> embeddings [N, embedding_dim].

    The first convolution is square, `stem_kernel` wide, and strides `stem_stride` over frequency alone; `max_pool` is
    3x3, stride 2 over frequency alone. `strides` are those of the four stages, over frequency and time. `channels`
    multiplies every layer's width; without `se`, blocks are plain.
    """

    def __init__(
        self,
        num_bins: int,
        channels: float,
        embedding_dim: int,
        pooling: Pooling,
        se: bool,
        *,
        stem_kernel: int,
        stem_stride: int,
        max_pool: bool,
        strides: Sequence[int],
    ) -> None:
        super().__init__()
        widths = [max(1, round(width * channels)) for width in CHANNELS]
        self.conv1 = MaskedConv2d(
            1, widths[0], stem_kernel, stride=(stem_stride, 1), padding=stem_kernel // 2, bias=False
        )
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.max_pool = MaskedMaxPool2d((3, 3), (2, 1), (1, 1)) if max_pool else None
        self.blocks = nn.ModuleList()
        in_channels = widths[0]
        for width, count, stride in zip(widths, BLOCKS, strides, strict=True):
            for index in range(count):
                self.blocks.append(SEBlock(in_channels, width, stride if index == 0 else 1, se))
                in_channels = width
        self.pooling = POOLINGS.build("network.pooling", pooling, channels=in_channels)
        self.embedding = nn.Linear(self.pooling.out_dim, embedding_dim)
        self.min_frames = least_frames(self)
        initialize_convolutions(self)

    def forward(self, x_NTF: Tensor, lengths_N: Tensor | None = None) -> Tensor:
        x_NCFT, lengths_N = self.run(self.stem, x_NTF.transpose(1, 2)[:, None], lengths_N)
        for block in self.blocks:
            x_NCFT, lengths_N = self.run(block, x_NCFT, lengths_N)
        return self.embedding(self.pooling(x_NCFT.mean(dim=2), lengths_N))

    def stem(self, x_NCFT: Tensor, lengths_N: Tensor | None) -> tuple[Tensor, Tensor | None]:
        x_NCFT, lengths_N = self.conv1(x_NCFT, lengths_N)
        x_NCFT = torch.relu_(self.bn1(x_NCFT))
        return (x_NCFT, lengths_N) if self.max_pool is None else self.max_pool(x_NCFT, lengths_N)
