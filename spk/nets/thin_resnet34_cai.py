"""Thin ResNet-34 of Cai et al., Odyssey 2018 (arXiv:1804.05160), as 'In defence of metric learning' compares it."""

from __future__ import annotations

from typing import Annotated

from spk.nets.pooling import Pooling
from spk.nets.registry import NETWORKS
from spk.nets.se_resnet34 import SEResNet34
from spk.schema import AT_LEAST_ONE, POSITIVE


@NETWORKS.register("thin_resnet34_cai")
def thin_resnet34_cai(
    num_bins: int,
    channels: Annotated[float, POSITIVE] = 1.0,
    embedding_dim: Annotated[int, AT_LEAST_ONE] = 512,
    pooling: Pooling = "sap",
    se: bool = False,
) -> SEResNet34:
    """Features [N, T, num_bins] -> embeddings [N, embedding_dim]. For 64-dimensional filterbanks.

    A 3x3 convolution at full resolution and no max-pool come before the stages. Cai et al. have no squeeze-excitation;
    `se` adds it, as the code published with 'In defence of metric learning' has it in its own networks. Counted on 64
    bins: 1.4 M parameters, 0.9 G multiply-adds for 200 frames.
    """
    return SEResNet34(
        num_bins,
        channels,
        embedding_dim,
        pooling,
        se,
        stem_kernel=3,
        stem_stride=1,
        max_pool=False,
        strides=(1, 2, 2, 2),
    )
