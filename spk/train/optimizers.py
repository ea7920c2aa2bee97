"""The optimisers that a config may name; torch keeps them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
from torch import nn

from spk.registry import Registry
from spk.schema import FRACTION, NOT_NEGATIVE, POSITIVE

OPTIMIZERS = Registry("optimizer", given=("parameters",))


@OPTIMIZERS.register("adam")
def adam(
    parameters: Iterable[nn.Parameter],
    lr: Annotated[float, POSITIVE] = 1e-3,
    weight_decay: Annotated[float, NOT_NEGATIVE] = 0.0,
) -> torch.optim.Optimizer:
    """Adam with torch's betas; `weight_decay` is the L2 term added to the gradient."""
    return torch.optim.Adam(parameters, lr=lr, weight_decay=weight_decay)


@OPTIMIZERS.register("sgd")
def sgd(
    parameters: Iterable[nn.Parameter],
    lr: Annotated[float, POSITIVE] = 0.1,
    momentum: Annotated[float, FRACTION] = 0.9,
    weight_decay: Annotated[float, NOT_NEGATIVE] = 1e-4,
    nesterov: bool = False,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum."""
    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov)
