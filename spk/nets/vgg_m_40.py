"""VGG-M-40 of 'In defence of metric learning for speaker recognition', Interspeech 2020 (arXiv:2003.11982)."""

from __future__ import annotations

from typing import Annotated

from spk.nets.pooling import Pooling
from spk.nets.registry import NETWORKS, require_bins
from spk.nets.vgg import VGG
from spk.schema import AT_LEAST_ONE, POSITIVE

CONVS = (
    (96, (5, 7), (1, 2), 2),
    (256, (5, 5), (2, 2), 1),
    (384, (3, 3), (1, 1), 1),
    (256, (3, 3), (1, 1), 1),
    (256, (3, 3), (1, 1), 1),
)
POOLS = {0: ((1, 3), (1, 2)), 1: ((3, 3), (2, 2)), 4: ((3, 3), (2, 2))}
FRAME_CHANNELS = 512
LEAST_BINS = 3  # with fewer, what reaches the second convolution is less than its kernel


@NETWORKS.register("vgg_m_40")
def vgg_m_40(
    num_bins: int,
    channels: Annotated[float, POSITIVE] = 1.0,
    embedding_dim: Annotated[int, AT_LEAST_ONE] = 1024,
    pooling: Pooling = "tap",
) -> VGG:
    """Features [N, T, num_bins] -> embeddings [N, embedding_dim]. VGG-M with fewer strides, for 40 mel bins.

    Raises: InputError for fewer than LEAST_BINS bins. Counted on 40 bins: 4.0 M parameters, 0.53 G multiply-adds for
    202 frames.
    """
    require_bins("vgg_m_40", num_bins, LEAST_BINS)
    return VGG(num_bins, channels, embedding_dim, pooling, convs=CONVS, pools=POOLS, frame_channels=FRAME_CHANNELS)
