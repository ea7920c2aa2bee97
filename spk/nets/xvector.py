"""The x-vector network of Snyder et al., X-vectors: robust DNN embeddings for speaker recognition, ICASSP 2018."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from spk.nets.initialization import initialize_convolutions
from spk.nets.masking import MaskedConv1d, least_frames
from spk.nets.pooling import POOLINGS, Pooling
from spk.nets.recomputation import Trunk
from spk.nets.registry import NETWORKS
from spk.schema import AT_LEAST_ONE, POSITIVE

# Table 1's frame-level layers: width, frames spliced, and how far apart (t-2..t+2; t-2, t, t+2; t-3, t, t+3; t; t).
LAYERS = ((512, 5, 1), (512, 3, 2), (512, 3, 3), (512, 1, 1), (1500, 1, 1))


@NETWORKS.register("xvector")
class XVector(Trunk):
    """Features [N, T, num_bins] -> embeddings [N, embedding_dim].

    Time-delay layers, affine - ReLU - BN each, without padding; pooling; the embedding is the first affine layer after
    it; the second one, which the paper has between the embedding and its softmax, is left out. Counted on 24 bins:
    4.2 M parameters, 0.77 G multiply-adds for 300 frames.
    """

    def __init__(
        self,
        num_bins: int,
        channels: Annotated[float, POSITIVE] = 1.0,
        embedding_dim: Annotated[int, AT_LEAST_ONE] = 512,
        pooling: Pooling = "statistics",
    ) -> None:
        super().__init__()
        self.affines, self.norms = nn.ModuleList(), nn.ModuleList()
        in_channels = num_bins
        for width, taps, dilation in LAYERS:
            width = max(1, round(width * channels))
            self.affines.append(MaskedConv1d(in_channels, width, taps, dilation=dilation))
            self.norms.append(nn.BatchNorm1d(width))
            in_channels = width
        self.pooling = POOLINGS.build("network.pooling", pooling, channels=in_channels)
        self.embedding = nn.Linear(self.pooling.out_dim, embedding_dim)
        self.min_frames = least_frames(self)
        initialize_convolutions(self)

    def forward(self, x_NTF: Tensor, lengths_N: Tensor | None = None) -> Tensor:
        x_NCT = x_NTF.transpose(1, 2)
        for affine, norm in zip(self.affines, self.norms, strict=True):
            x_NCT, lengths_N = self.run(time_delay_layer, affine, norm, x_NCT, lengths_N)
        return self.embedding(self.pooling(x_NCT, lengths_N))


def time_delay_layer(
    affine: MaskedConv1d, norm: nn.BatchNorm1d, x_NCT: Tensor, lengths_N: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    x_NCT, lengths_N = affine(x_NCT, lengths_N)
    return norm(torch.relu_(x_NCT)), lengths_N
