"""The residual block of Thin and Fast ResNet-34: two 3x3 convolutions, squeeze-excitation, shortcut.

Order as in the code published with 'In defence of metric learning for speaker recognition':
conv(stride) - ReLU - BN - conv - BN - squeeze-excitation - + shortcut - ReLU.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from spk.nets.masking import MaskedConv2d, masked_mean

SQUEEZE_REDUCTION = 8


class SqueezeExcitation(nn.Module):
    """Scale each channel by a gate computed from the means of all, Hu et al., CVPR 2018 (arXiv:1709.01507)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = max(1, channels // SQUEEZE_REDUCTION)
        self.gate = nn.Sequential(
            nn.Linear(channels, squeezed), nn.ReLU(inplace=True), nn.Linear(squeezed, channels), nn.Sigmoid()
        )

    def forward(self, x_NCFT: Tensor, lengths_N: Tensor | None) -> Tensor:
        mean_NC = masked_mean(x_NCFT.mean(dim=2), lengths_N)
        return x_NCFT * self.gate(mean_NC)[:, :, None, None]


class SEBlock(nn.Module):
    """[N, in_channels, F, T] -> [N, out_channels, F / stride, T / stride]; `se: false` leaves the gate out."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, se: bool = True) -> None:
        super().__init__()
        self.conv1 = MaskedConv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = MaskedConv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.se = SqueezeExcitation(out_channels) if se else None
        self.shortcut_conv = None
        if stride != 1 or in_channels != out_channels:
            self.shortcut_conv = MaskedConv2d(in_channels, out_channels, 1, stride, bias=False)
            self.shortcut_bn = nn.BatchNorm2d(out_channels)

    def forward(self, x_NCFT: Tensor, lengths_N: Tensor | None) -> tuple[Tensor, Tensor | None]:
        y_NCFT, lengths_out_N = self.conv1(x_NCFT, lengths_N)
        y_NCFT = self.bn1(torch.relu_(y_NCFT))
        y_NCFT = self.bn2(self.conv2(y_NCFT, lengths_out_N)[0])
        if self.se is not None:
            y_NCFT = self.se(y_NCFT, lengths_out_N)
        if self.shortcut_conv is not None:
            x_NCFT = self.shortcut_bn(self.shortcut_conv(x_NCFT, lengths_N)[0])
        return torch.relu_(y_NCFT.add_(x_NCFT)), lengths_out_N
