"""VGG-M on spectrograms: Nagrani et al., VoxCeleb, Interspeech 2017 (arXiv:1706.08612)."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor, nn

from spk.nets.initialization import initialize_convolutions
from spk.nets.masking import MaskedMaxPool2d, least_frames
from spk.nets.pooling import POOLINGS
from spk.nets.registry import NETWORKS, require_bins
from spk.nets.vgg_layer import VGGLayer
from spk.schema import AT_LEAST_ONE, POSITIVE

# Width, kernel, stride, padding of the convolutions; after which of them a max-pool, its kernel and stride.
CONVS = ((96, 7, 2, 1), (256, 5, 2, 1), (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1))
POOLS = {0: ((3, 3), (2, 2)), 1: ((3, 3), (2, 2)), 4: ((5, 3), (3, 2))}
FRAME_CHANNELS = 4096
LEAST_BINS = 17  # with fewer, what reaches the second convolution is less than its kernel


@NETWORKS.register("vgg_m")
class VGGM(nn.Module):
    """Features [N, T, num_bins] -> embeddings [N, embedding_dim].

    Five convolutions and three max-pools, a convolution over all the bins that are left (fc6: 9 of 512), pooling over
    time, linear (fc7). In a network for few bins a max-pool is no higher than what reaches it. Raises: InputError for
    fewer than LEAST_BINS bins. Counted on 512 bins: 16.6 M parameters, 2.8 G multiply-adds for 300 frames.
    """

    def __init__(
        self,
        num_bins: int,
        channels: Annotated[float, POSITIVE] = 1.0,
        embedding_dim: Annotated[int, AT_LEAST_ONE] = 1024,
        pooling: str | dict[str, Any] = "tap",
    ) -> None:
        super().__init__()
        require_bins("vgg_m", num_bins, LEAST_BINS)
        self.layers = nn.ModuleList()
        in_channels, bins = 1, num_bins
        for index, (width, kernel, stride, padding) in enumerate(CONVS):
            width = max(1, round(width * channels))
            self.layers.append(VGGLayer(in_channels, width, kernel, stride, padding))
            in_channels, bins = width, (bins + 2 * padding - kernel) // stride + 1
            if index in POOLS:
                (height, frames), strides = POOLS[index]
                height = min(height, bins)
                self.layers.append(MaskedMaxPool2d((height, frames), strides, (0, 0)))
                bins = (bins - height) // strides[0] + 1
        frame_channels = max(1, round(FRAME_CHANNELS * channels))
        self.layers.append(VGGLayer(in_channels, frame_channels, (bins, 1)))
        self.pooling = POOLINGS.build("network.pooling", pooling, channels=frame_channels)
        self.embedding = nn.Linear(self.pooling.out_dim, embedding_dim)
        self.min_frames = least_frames(self)
        initialize_convolutions(self)

    def forward(self, x_NTF: Tensor, lengths_N: Tensor | None = None) -> Tensor:
        x_NCFT = x_NTF.transpose(1, 2)[:, None]
        for layer in self.layers:
            x_NCFT, lengths_N = layer(x_NCFT, lengths_N)
        return self.embedding(self.pooling(x_NCFT[:, :, 0], lengths_N))
