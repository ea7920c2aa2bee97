"""One batch through a network and back, on a device: what training and the search for a batch size share."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from spk.collectives import ALONE, Group


def place(module: nn.Module, device: torch.device) -> nn.Module:
    """On the device, in the memory layout that its convolutions are fastest with."""
    module.to(device)
    return module.to(memory_format=torch.channels_last) if device.type == "cuda" else module


def forward_backward(
    forward: Callable[[Tensor], Tensor],
    loss: nn.Module,
    features: Tensor,
    labels: Tensor,
    precision: str,
    group: Group = ALONE,
    counts: Sequence[int] = (),
) -> Tensor:
    """Features [B, T, F] and labels [B] -> the loss; the gradients are added to the parameters' own.

    `precision` bfloat16: the network under autocast. The loss is always float32.
    In a group, features are this process's, `counts[rank]` of the batch, and labels the whole batch's: every process
    computes the loss of the whole batch, and of the network's gradients its own share's part.
    """
    with torch.autocast(features.device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        embeddings = forward(features)
    if group.size > 1:
        full = embeddings if embeddings.dtype == torch.float64 else embeddings.float()
        embeddings = group.gather_rows(full, counts)
    value = loss(embeddings, labels)
    value.backward()
    return value
