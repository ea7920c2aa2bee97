"""From frames to one vector: poolings over time, shared by all networks.

Each takes frames x [N, C, T] and `lengths` [N] (None: all frames are real) and gives [N, out_dim].
"""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import Tensor, nn

from spk.nets.masking import frame_mask, masked_mean, zero_padding
from spk.registry import Registry
from spk.schema import AT_LEAST_ONE

POOLINGS = Registry("pooling", given=("channels",))
Pooling = Annotated[str | dict[str, Any], POOLINGS]  # as an argument of a network: a name, or a section with arguments
VARIANCE_FLOOR = 1e-5  # keeps the slope of the square root finite on constant frames


@POOLINGS.register("tap")
class TemporalAveragePooling(nn.Module):
    """TAP: the mean over time."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.out_dim = channels

    def forward(self, x_NCT: Tensor, lengths_N: Tensor | None = None) -> Tensor:
        return masked_mean(x_NCT, lengths_N)


@POOLINGS.register("statistics")
class StatisticsPooling(nn.Module):
    """Mean and standard deviation over time, Snyder et al., Interspeech 2017."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.out_dim = 2 * channels

    def forward(self, x_NCT: Tensor, lengths_N: Tensor | None = None) -> Tensor:
        mean_NC = masked_mean(x_NCT, lengths_N)
        variance_NC = masked_mean((x_NCT - mean_NC[..., None]).square(), lengths_N)
        return torch.cat([mean_NC, variance_NC.clamp_min(VARIANCE_FLOOR).sqrt()], dim=1)


class Attention(nn.Module):
    """One weight a frame: h_t = tanh(W x_t + b), w = softmax_t(h_t . a). Cai et al., Odyssey 2018, eq. (5)-(6)."""

    def __init__(self, channels: int, attention_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, attention_dim)
        self.context = nn.Parameter(torch.empty(attention_dim, 1))
        nn.init.xavier_normal_(self.context)

    def forward(self, x_NCT: Tensor, lengths_N: Tensor | None) -> Tensor:
        """[N, 1, T], each utterance's weights summing to one over its real frames."""
        score_NT = (torch.tanh(self.linear(x_NCT.transpose(1, 2))) @ self.context).squeeze(2)
        if lengths_N is not None:
            score_NT = score_NT.masked_fill(~frame_mask(lengths_N, x_NCT.shape[2]), -torch.inf)
        return score_NT.softmax(dim=1)[:, None, :]


@POOLINGS.register("sap")
class SelfAttentivePooling(nn.Module):
    """SAP: the mean of the frames weighted by their attention, Cai et al., Odyssey 2018, eq. (7)."""

    def __init__(self, channels: int, attention_dim: Annotated[int, AT_LEAST_ONE] | None = None) -> None:
        super().__init__()
        self.attention = Attention(channels, attention_dim or channels)
        self.out_dim = channels

    def forward(self, x_NCT: Tensor, lengths_N: Tensor | None = None) -> Tensor:
        x_NCT = zero_padding(x_NCT, lengths_N)
        return (x_NCT * self.attention(x_NCT, lengths_N)).sum(dim=2)


@POOLINGS.register("asp")
class AttentiveStatisticsPooling(nn.Module):
    """ASP: weighted mean and standard deviation, Okabe et al., Interspeech 2018, eq. (5)-(6)."""

    def __init__(self, channels: int, attention_dim: Annotated[int, AT_LEAST_ONE] | None = None) -> None:
        super().__init__()
        self.attention = Attention(channels, attention_dim or channels)
        self.out_dim = 2 * channels

    def forward(self, x_NCT: Tensor, lengths_N: Tensor | None = None) -> Tensor:
        x_NCT = zero_padding(x_NCT, lengths_N)
        weight_N1T = self.attention(x_NCT, lengths_N)
        mean_NC = (x_NCT * weight_N1T).sum(dim=2)
        variance_NC = ((x_NCT - mean_NC[..., None]).square() * weight_N1T).sum(dim=2)
        return torch.cat([mean_NC, variance_NC.clamp_min(VARIANCE_FLOOR).sqrt()], dim=1)
