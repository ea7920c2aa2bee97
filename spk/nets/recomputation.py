"""Activations that the backward pass computes again, instead of the forward pass keeping them: time for memory.

Chen et al., Training deep nets with sublinear memory cost, 2016 (arXiv:1604.06174). What is computed twice is computed
alike: random generators are set back, and batch norms see the same batch, which enters their running statistics once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def recomputed(module: nn.Module, function: Callable[..., Any], *arguments: Any) -> Any:
    """function(*arguments), of which the backward pass keeps the arguments alone. Batch norms in it are `module`'s."""

    def contexts() -> tuple[contextlib.AbstractContextManager, contextlib.AbstractContextManager]:
        return contextlib.nullcontext(), running_statistics_kept(module)

    return checkpoint(function, *arguments, use_reentrant=False, context_fn=contexts)


@contextlib.contextmanager
def running_statistics_kept(module: nn.Module) -> Iterator[None]:
    """Batch norms in training normalise by their batch as ever, but neither remember nor count it."""
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    held = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, held, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count


class Trunk(nn.Module):
    """Base of the networks. What they `run` is recomputed in the backward pass where `recomputes` is set."""

    recomputes = False

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """function(*arguments), a block of this network, or a method that runs several of its layers."""
        if not (self.recomputes and torch.is_grad_enabled()):
            return function(*arguments)
        return recomputed(function if isinstance(function, nn.Module) else self, function, *arguments)
