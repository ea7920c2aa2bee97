"""The optimisers that a config may name; torch keeps them.

On a GPU all parameters are moved by one kernel (`fused`). On the CPU they are moved one by one, as before there was
such a kernel, which rounds otherwise. A checkpoint of one goes on with the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

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
    return on_device(torch.optim.Adam, parameters, lr=lr, weight_decay=weight_decay)


@OPTIMIZERS.register("sgd")
def sgd(
    parameters: Iterable[nn.Parameter],
    lr: Annotated[float, POSITIVE] = 0.1,
    momentum: Annotated[float, FRACTION] = 0.9,
    weight_decay: Annotated[float, NOT_NEGATIVE] = 1e-4,
    nesterov: bool = False,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum."""
    options = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "nesterov": nesterov}
    return on_device(torch.optim.SGD, parameters, **options)


def on_device(
    kind: type[torch.optim.Optimizer], parameters: Iterable[nn.Parameter], **options: float | bool
) -> torch.optim.Optimizer:
    """Fused where all parameters are on a GPU, whatever a checkpoint's optimiser was.

    What it keeps of a parameter lies in memory as the parameter does, which fused kernels rely on.
    """
    parameters = list(parameters)
    fused = all(parameter.is_cuda for parameter in parameters) or None
    optimizer = kind(parameters, fused=fused, **options)

    def keep_fused(_: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        return {**state, "param_groups": [{**group, "fused": fused} for group in state["param_groups"]]}

    def lay_out_as_parameters(optimizer: torch.optim.Optimizer) -> None:
        for parameter, state in optimizer.state.items():
            for name, value in state.items():
                if torch.is_tensor(value) and value.shape == parameter.shape and value.stride() != parameter.stride():
                    state[name] = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)

    optimizer.register_load_state_dict_pre_hook(keep_fused)
    optimizer.register_load_state_dict_post_hook(lay_out_as_parameters)
    return optimizer
