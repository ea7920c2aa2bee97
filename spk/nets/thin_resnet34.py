"""Thin ResNet-34 of 'In defence of metric learning for speaker recognition', Interspeech 2020 (arXiv:2003.11982)."""

from __future__ import annotations

from typing import Annotated

from spk.nets.pooling import Pooling
from spk.nets.registry import NETWORKS
from spk.nets.se_resnet34 import SEResNet34
from spk.schema import AT_LEAST_ONE, POSITIVE


@NETWORKS.register("thin_resnet34")
def thin_resnet34(
    num_bins: int,
    channels: Annotated[float, POSITIVE] = 1.0,
    embedding_dim: Annotated[int, AT_LEAST_ONE] = 512,
    pooling: Pooling = "sap",
    se: bool = True,
) -> SEResNet34:
    """Features [N, T, num_bins] -> embeddings [N, embedding_dim]. For magnitude spectrograms of 257 bins.

    `se` keeps the published code's squeeze-excitation, which the paper does not mention. Counted on 257 bins: 1.4 M
    parameters, 0.99 G multiply-adds for 200 frames.
    """
    return SEResNet34(
        num_bins,
        channels,
        embedding_dim,
        pooling,
        se,
        stem_kernel=7,
        stem_stride=2,
        max_pool=True,
        strides=(1, 2, 2, 2),
    )
