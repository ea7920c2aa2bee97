"""ResNet-34 at full width, average pooling over time."""

from __future__ import annotations

from typing import Annotated, Literal

from spk.nets.pooling import Pooling
from spk.nets.registry import NETWORKS
from spk.nets.resnet import ResNet
from spk.schema import AT_LEAST_ONE, POSITIVE

WIDTHS = (64, 64, 128, 256, 512)


@NETWORKS.register("resnet34")
def resnet34(
    num_bins: int,
    channels: Annotated[float, POSITIVE] = 1.0,
    embedding_dim: Annotated[int, AT_LEAST_ONE] = 512,
    pooling: Pooling = "tap",
    frequency: Literal["mean", "each"] = "mean",
) -> ResNet:
    """Features [N, T, num_bins] -> embeddings [N, embedding_dim]; `frequency` as in ResNet.

    Cai et al., Odyssey 2018 (arXiv:1804.05160): 64 mel bins, 128 dimensions; counted 21.3 M parameters, and 0.95 G
    multiply-adds for 200 frames. Chung et al., VoxCeleb2, Interspeech 2018 (arXiv:1806.05622): 257 bins, 512
    dimensions, `frequency: each`; 23.6 M, and 5.9 G for 300 frames (21.5 M with the mean over frequency).
    """
    return ResNet(num_bins, [max(1, round(w * channels)) for w in WIDTHS], None, embedding_dim, pooling, frequency)
