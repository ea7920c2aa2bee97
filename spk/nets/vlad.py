"""NetVLAD and GhostVLAD: sums of the frames' residuals to learnt cluster centres."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spk.nets.masking import zero_padding
from spk.nets.pooling import POOLINGS
from spk.schema import AT_LEAST_ONE


class VLAD(nn.Module):
    """[N, C, T] and lengths [N] -> [N, num_clusters * C].

    a_tk = softmax_k(w_k . x_t + b_k), V_k = sum_t a_tk (x_t - c_k): each V_k is L2-normalised, then all of them
    together, flattened (NetVLAD, eq. (3)-(4) and section 3.1). The softmax runs over ghost clusters too, whose
    residuals are left out: frames that say nothing of the speaker can go there (GhostVLAD). The centres c start
    orthogonal, as in the code published with Xie et al., and are apart from the assignment's w and b.
    """

    def __init__(self, channels: int, num_clusters: int, num_ghosts: int) -> None:
        super().__init__()
        self.assignment = nn.Linear(channels, num_clusters + num_ghosts)
        self.centre_KC = nn.Parameter(torch.empty(num_clusters, channels))
        nn.init.orthogonal_(self.centre_KC)
        self.out_dim = num_clusters * channels

    def forward(self, x_NCT: Tensor, lengths_N: Tensor | None = None) -> Tensor:
        x_NTC = x_NCT.transpose(1, 2)
        weight_NKT = self.assignment(x_NTC).softmax(dim=2).transpose(1, 2)[:, : len(self.centre_KC)]
        weight_NKT = zero_padding(weight_NKT, lengths_N)
        # sum_t a_tk (x_t - c_k) without the [N, K, T, C] tensor of all residuals
        residual_NKC = weight_NKT @ x_NTC - weight_NKT.sum(dim=2, keepdim=True) * self.centre_KC
        return F.normalize(F.normalize(residual_NKC, dim=2).flatten(1), dim=1)


@POOLINGS.register("netvlad")
class NetVLAD(VLAD):
    """Arandjelovic et al., NetVLAD, CVPR 2016 (arXiv:1511.07247)."""

    def __init__(self, channels: int, num_clusters: Annotated[int, AT_LEAST_ONE] = 8) -> None:
        super().__init__(channels, num_clusters, num_ghosts=0)


@POOLINGS.register("ghostvlad")
class GhostVLAD(VLAD):
    """Zhong et al., ACCV 2018 (arXiv:1810.09951); Xie et al., ICASSP 2019 (arXiv:1902.10107) for speakers."""

    def __init__(
        self,
        channels: int,
        num_clusters: Annotated[int, AT_LEAST_ONE] = 8,
        num_ghosts: Annotated[int, AT_LEAST_ONE] = 2,
    ) -> None:
        super().__init__(channels, num_clusters, num_ghosts)
