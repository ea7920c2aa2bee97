"""The papers' networks as their users write them in plain PyTorch, without masks: what the benchmarks compare with.

[N, T, bins] -> [N, embedding_dim], with the layers and the parameter counts of spk/nets' networks of the same names.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SELayer(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // 8),
            nn.ReLU(inplace=True),
            nn.Linear(channels // 8, channels),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        n, c, _, _ = x.shape
        return x * self.fc(self.pool(x).view(n, c)).view(n, c, 1, 1)


class SEBasicBlock(nn.Module):
    def __init__(self, inplanes: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.se = SELayer(planes)
        self.downsample = None
        if stride != 1 or inplanes != planes:
            self.downsample = nn.Sequential(nn.Conv2d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn1(self.relu(self.conv1(x)))
        out = self.se(self.bn2(self.conv2(out)))
        out += x if self.downsample is None else self.downsample(x)
        return self.relu(out)


class BasicBlock(nn.Module):
    def __init__(self, planes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x
        return self.relu(out)


class ResNetSE(nn.Module):
    """Thin and Fast ResNet-34 with self-attentive pooling."""

    def __init__(
        self, bins: int, channels: float, embedding_dim: int, stem: nn.Module, strides: tuple[int, ...]
    ) -> None:
        super().__init__()
        widths = [round(width * channels) for width in (16, 32, 64, 128)]
        self.normalize = nn.InstanceNorm1d(bins)
        self.stem = stem
        layers, inplanes = [], widths[0]
        for planes, count, stride in zip(widths, (3, 4, 6, 3), strides, strict=True):
            for index in range(count):
                layers.append(SEBasicBlock(inplanes, planes, stride if index == 0 else 1))
                inplanes = planes
        self.layers = nn.Sequential(*layers)
        self.sap_linear = nn.Linear(inplanes, inplanes)
        self.attention = nn.Parameter(torch.empty(inplanes, 1))
        nn.init.xavier_normal_(self.attention)
        self.fc = nn.Linear(inplanes, embedding_dim)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(self.stem(self.normalize(x.transpose(1, 2)).unsqueeze(1)))
        x = x.mean(dim=2).permute(0, 2, 1)
        weights = F.softmax(torch.matmul(torch.tanh(self.sap_linear(x)), self.attention).squeeze(2), dim=1)
        return self.fc((x * weights.unsqueeze(2)).sum(dim=1))


def fast_resnet34(bins: int, channels: float, embedding_dim: int) -> nn.Module:
    width = round(16 * channels)
    stem = nn.Sequential(nn.Conv2d(1, width, 7, (2, 1), 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
    return ResNetSE(bins, channels, embedding_dim, stem, (1, 2, 2, 1))


def thin_resnet34(bins: int, channels: float, embedding_dim: int) -> nn.Module:
    width = round(16 * channels)
    stem = nn.Sequential(
        nn.Conv2d(1, width, 7, (2, 1), 3, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, (2, 1), 1),
    )
    return ResNetSE(bins, channels, embedding_dim, stem, (1, 2, 2, 2))


class Convolutional(nn.Module):
    """Normalisation, layers, mean over time, linear."""

    def __init__(self, bins: int, layers: nn.Module, channels: int, embedding_dim: int) -> None:
        super().__init__()
        self.normalize = nn.InstanceNorm1d(bins)
        self.layers = layers
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, embedding_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(self.layers(self.normalize(x.transpose(1, 2)).unsqueeze(1))).flatten(1))


def vgg_m_40(bins: int, channels: float, embedding_dim: int) -> nn.Module:
    """For 40 bins."""

    def conv(inplanes: int, planes: int, *arguments) -> list[nn.Module]:
        return [nn.Conv2d(inplanes, planes, *arguments), nn.BatchNorm2d(planes), nn.ReLU(inplace=True)]

    a, b, c, d = (round(width * channels) for width in (96, 256, 384, 512))
    layers = nn.Sequential(
        *conv(1, a, (5, 7), (1, 2), 2),
        nn.MaxPool2d((1, 3), (1, 2)),
        *conv(a, b, (5, 5), (2, 2), 1),
        nn.MaxPool2d((3, 3), (2, 2)),
        *conv(b, c, (3, 3), (1, 1), 1),
        *conv(c, b, (3, 3), (1, 1), 1),
        *conv(b, b, (3, 3), (1, 1), 1),
        nn.MaxPool2d((3, 3), (2, 2)),
        *conv(b, d, (4, 1)),
    )
    return Convolutional(bins, layers, d, embedding_dim)


def rescnn(bins: int, channels: float, embedding_dim: int) -> nn.Module:
    layers, inplanes = [], 1
    for width, count in ((64, 3), (128, 4), (256, 6), (512, 3)):
        planes = round(width * channels)
        layers += [nn.Conv2d(inplanes, planes, 5, 2, 2, bias=False), nn.BatchNorm2d(planes), nn.ReLU(inplace=True)]
        layers += [BasicBlock(planes) for _ in range(count)]
        inplanes = planes
    return Convolutional(bins, nn.Sequential(*layers), inplanes, embedding_dim)


PLAIN: dict[str, Callable[[int, float, int], nn.Module]] = {
    "fast_resnet34": fast_resnet34,
    "thin_resnet34": thin_resnet34,
    "vgg_m_40": vgg_m_40,
    "rescnn": rescnn,
}
