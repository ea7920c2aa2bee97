"""ResCNN of 'Dynamic margin softmax loss for speaker verification', Interspeech 2020."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn

from spk.nets.initialization import initialize_convolutions
from spk.nets.masking import least_frames
from spk.nets.pooling import POOLINGS, Pooling
from spk.nets.recomputation import Trunk
from spk.nets.registry import NETWORKS, require_bins
from spk.nets.residual_block import BasicBlock, ConvNorm
from spk.schema import AT_LEAST_ONE, POSITIVE

STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))  # channels, residual blocks
STRIDE = 16  # of all stages together; each rounds up


@NETWORKS.register("rescnn")
class ResCNN(Trunk):
    """Features [N, T, num_bins] -> embeddings [N, embedding_dim].

    Four stages of a 5x5 convolution with stride 2, BN and ReLU, and residual blocks whose shortcuts are all identities;
    adaptive average pooling over frequency, to `frequency_parts` means, whose channels come to lie side by side;
    pooling over time, the mean in the paper; linear. The paper pools to a single mean, its lineage to 4.
    Raises: InputError for fewer bins than leave one for each part. Counted on 161 bins: 27.5 M parameters (29.1 M with
    4 parts), 16.9 G multiply-adds for 298 frames (3 s).
    """

    def __init__(
        self,
        num_bins: int,
        channels: Annotated[float, POSITIVE] = 1.0,
        embedding_dim: Annotated[int, AT_LEAST_ONE] = 1024,
        pooling: Pooling = "tap",
        frequency_parts: Annotated[int, AT_LEAST_ONE] = 1,
    ) -> None:
        super().__init__()
        require_bins(f"rescnn with frequency_parts {frequency_parts}", num_bins, STRIDE * (frequency_parts - 1) + 1)
        self.stages = nn.ModuleList()
        in_channels = 1
        for width, num_blocks in STAGES:
            width = max(1, round(width * channels))
            blocks = [BasicBlock(width, width) for _ in range(num_blocks)]
            self.stages.append(nn.ModuleList([ConvNorm(in_channels, width, 5, stride=2), *blocks]))
            in_channels = width
        self.frequency_parts = frequency_parts
        self.pooling = POOLINGS.build("network.pooling", pooling, channels=in_channels * frequency_parts)
        self.embedding = nn.Linear(self.pooling.out_dim, embedding_dim)
        self.min_frames = least_frames(self)
        initialize_convolutions(self)

    def forward(self, x_NTF: Tensor, lengths_N: Tensor | None = None) -> Tensor:
        x_NCFT = x_NTF.transpose(1, 2)[:, None]
        for conv, *blocks in self.stages:
            x_NCFT, lengths_N = self.run(conv, x_NCFT, lengths_N)
            x_NCFT = torch.relu_(x_NCFT)
            for block in blocks:
                x_NCFT, lengths_N = self.run(block, x_NCFT, lengths_N)
        x_NCFT = frequency_means(x_NCFT, self.frequency_parts)
        return self.embedding(self.pooling(x_NCFT.flatten(1, 2), lengths_N))


def frequency_means(x_NCFT: Tensor, num_parts: int) -> Tensor:
    """Means over equal parts of the frequency axis, which may share a bin: [N, C, F, T] -> [N, C, num_parts, T].

    What adaptive_avg_pool2d gives, which ONNX does not have where the length is open.
    """
    num_bins = x_NCFT.shape[2]
    bounds = [(part * num_bins // num_parts, -(-(part + 1) * num_bins // num_parts)) for part in range(num_parts)]
    return torch.stack([x_NCFT[:, :, begin:end].mean(dim=2) for begin, end in bounds], dim=2)
