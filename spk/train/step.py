"""One batch through a network and back, on a device: what training and the search for a batch size share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def place(module: nn.Module, device: torch.device) -> nn.Module:
    """On the device, in the memory layout that its convolutions are fastest with."""
    module.to(device)
    return module.to(memory_format=torch.channels_last) if device.type == "cuda" else module


def forward_backward(
    forward: Callable[[Tensor], Tensor], loss: nn.Module, features: Tensor, labels: Tensor, precision: str
) -> Tensor:
    """Features [B, T, F] and labels [B] -> the loss; the gradients are added to the parameters' own.

    `precision` bfloat16: the network under autocast. The loss is always float32.
    """
    with torch.autocast(features.device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        embeddings = forward(features)
    value = loss(embeddings, labels)
    value.backward()
    return value
