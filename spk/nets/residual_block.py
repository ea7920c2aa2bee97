"""Residual blocks of He et al., Deep Residual Learning for Image Recognition, CVPR 2016 (arXiv:1512.03385).

Convolution - BN - ReLU, the last ReLU after the shortcut is added; the shortcut is the identity, or a 1x1 convolution
and BN where the shape changes (option B). Both blocks give
[N, in_channels, F, T] -> [N, out_channels, F / stride, T / stride], rounded up.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spk.nets.masking import MaskedConv2d


class ConvNorm(nn.Module):
    """A convolution without bias that keeps the size up to its stride, then batch norm."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = MaskedConv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x_NCFT: Tensor, lengths_N: Tensor | None) -> tuple[Tensor, Tensor | None]:
        y_NCFT, lengths_N = self.conv(x_NCFT, lengths_N)
        return self.bn(y_NCFT), lengths_N


class ResidualBlock(nn.Module):
    """What both blocks share: their convolutions one after the other, beside the shortcut."""

    def __init__(self, convs: list[ConvNorm], in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)
        changes = stride != 1 or in_channels != out_channels
        self.shortcut = ConvNorm(in_channels, out_channels, 1, stride) if changes else None

    def forward(self, x_NCFT: Tensor, lengths_N: Tensor | None) -> tuple[Tensor, Tensor | None]:
        y_NCFT, lengths_out_N = self.convs[0](x_NCFT, lengths_N)
        for conv in self.convs[1:]:
            y_NCFT, lengths_out_N = conv(torch.relu_(y_NCFT), lengths_out_N)
        if self.shortcut is not None:
            x_NCFT, _ = self.shortcut(x_NCFT, lengths_N)
        return torch.relu_(y_NCFT.add_(x_NCFT)), lengths_out_N


class BasicBlock(ResidualBlock):
    """Two 3x3 convolutions (figure 5, left)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        convs = [ConvNorm(in_channels, out_channels, 3, stride), ConvNorm(out_channels, out_channels, 3)]
        super().__init__(convs, in_channels, out_channels, stride)


class Bottleneck(ResidualBlock):
    """1x1 convolution to `inner_channels`, 3x3, 1x1 to `out_channels` (figure 5, right); the stride is the first's."""

    def __init__(self, in_channels: int, inner_channels: int, out_channels: int, stride: int = 1) -> None:
        convs = [
            ConvNorm(in_channels, inner_channels, 1, stride),
            ConvNorm(inner_channels, inner_channels, 3),
            ConvNorm(inner_channels, out_channels, 1),
        ]
        super().__init__(convs, in_channels, out_channels, stride)
