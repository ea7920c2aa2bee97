"""VGG-M on spectrograms: Nagrani et al., VoxCeleb, Interspeech 2017 (arXiv:1706.08612)."""

from __future__ import annotations

from typing import Annotated

from spk.nets.pooling import Pooling
from spk.nets.registry import NETWORKS, require_bins
from spk.nets.vgg import VGG
from spk.schema import AT_LEAST_ONE, POSITIVE

CONVS = (
    (96, (7, 7), (2, 2), 1),
    (256, (5, 5), (2, 2), 1),
    (384, (3, 3), (1, 1), 1),
    (256, (3, 3), (1, 1), 1),
    (256, (3, 3), (1, 1), 1),
)
POOLS = {0: ((3, 3), (2, 2)), 1: ((3, 3), (2, 2)), 4: ((5, 3), (3, 2))}
FRAME_CHANNELS = 4096
LEAST_BINS = 17  # with fewer, what reaches the second convolution is less than its kernel


@NETWORKS.register("vgg_m")
def vgg_m(
    num_bins: int,
    channels: Annotated[float, POSITIVE] = 1.0,
    embedding_dim: Annotated[int, AT_LEAST_ONE] = 1024,
    pooling: Pooling = "tap",
) -> VGG:
    """Features [N, T, num_bins] -> embeddings [N, embedding_dim].

    The convolution over all the bins that are left is fc6 (9 of 512), the linear layer fc7. Raises: InputError for
    fewer than LEAST_BINS bins. Counted on 512 bins: 16.6 M parameters, 2.8 G multiply-adds for 300 frames.
    """
    require_bins("vgg_m", num_bins, LEAST_BINS)
    return VGG(num_bins, channels, embedding_dim, pooling, convs=CONVS, pools=POOLS, frame_channels=FRAME_CHANNELS)
