"""The layer of the VGG-M networks: convolution with bias - BN - ReLU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spk.nets.masking import MaskedConv2d


class VGGLayer(nn.Module):
    """[N, in_channels, F, T] and lengths -> [N, out_channels, F', T'] and lengths; arguments as of Conv2d."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int = 0,
    ) -> None:
        super().__init__()
        self.conv = MaskedConv2d(in_channels, out_channels, kernel, stride, padding)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x_NCFT: Tensor, lengths_N: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        x_NCFT, lengths_N = self.conv(x_NCFT, lengths_N)
        return torch.relu(self.bn(x_NCFT)), lengths_N
