"""ResNet-50 at full width, average pooling over time."""

from __future__ import annotations

from typing import Annotated, Literal

from spk.nets.pooling import Pooling
from spk.nets.registry import NETWORKS
from spk.nets.resnet import ResNet
from spk.schema import AT_LEAST_ONE, POSITIVE

WIDTHS = (64, 256, 512, 1024, 2048)
INNER_WIDTHS = (64, 128, 256, 512)


@NETWORKS.register("resnet50")
def resnet50(
    num_bins: int,
    channels: Annotated[float, POSITIVE] = 1.0,
    embedding_dim: Annotated[int, AT_LEAST_ONE] = 512,
    pooling: Pooling = "tap",
    frequency: Literal["mean", "each"] = "mean",
) -> ResNet:
    """Features [N, T, num_bins] -> embeddings [N, embedding_dim]; `frequency` as in ResNet.

    Chung et al., VoxCeleb2, Interspeech 2018 (arXiv:1806.05622): 257 bins, 512 dimensions, `frequency: each`; counted
    32.9 M parameters, and 6.3 G multiply-adds for 300 frames (24.6 M with the mean over frequency).
    """
    widths, inner_widths = ([max(1, round(w * channels)) for w in table] for table in (WIDTHS, INNER_WIDTHS))
    return ResNet(num_bins, widths, inner_widths, embedding_dim, pooling, frequency)
