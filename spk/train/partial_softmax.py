"""Partial softmax: a batch is compared with its own speakers and a drawn share of the others.

An et al., Partial FC, CVPR 2022 (arXiv:2203.15565): with very many speakers a tenth of them does as well as all, for a
tenth of the logits, gradients and updates. Here every other speaker is drawn by itself, with the share as its
probability, where the paper draws so many on each GPU: which ones is a function of the batch, for any number of
processes. As in the paper's code, logits are not corrected for those left out, and a speaker that is not in use stays
wholly as it is in that step: no momentum moves it, no weight decay shrinks it, and its momentum waits for the next step
that it is in. The number of steps that Adam corrects its averages for is that of the run.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from spk.data.sampler import Batch, mixed
from spk.losses.classifier import classifiers
from spk.losses.loss import Loss

SPEAKERS = 2  # which generator of a batch draws them


def drawn_speakers(batch: Batch, share: float, first: int, last: int) -> Tensor:
    """bool [last - first]: which of the speakers [first, last) of all are drawn for the batch."""
    key = batch.random(SPEAKERS).integers(2**64, dtype=np.uint64)
    speakers = np.arange(first, last, dtype=np.uint64)
    return torch.from_numpy((mixed(key + speakers) >> np.uint64(11)) * 2.0**-53 < share)


def draw_speakers(loss: Loss, batch: Batch, share: float) -> None:
    """Have the loss compare the batch with a share of the other speakers."""
    for part in classifiers(loss).values():
        part.drawn_C = drawn_speakers(batch, share, *part.rows)


def optimizer_step(optimizer: Optimizer, loss: Loss) -> None:
    """optimizer.step(); of parameters that a batch used some rows of, it moves these alone."""
    drawn = list(drawn_leaves(loss))
    for parameter, leaf, numbers in drawn:
        replace(optimizer, parameter, leaf)
        optimizer.state[leaf] = {
            name: value[numbers] if is_of_rows(value, parameter) else value
            for name, value in optimizer.state.get(parameter, {}).items()
        }
    optimizer.step()
    with torch.no_grad():
        for parameter, leaf, numbers in drawn:
            replace(optimizer, leaf, parameter)
            parameter.index_copy_(0, numbers, leaf)
            for name, value in optimizer.state.pop(leaf).items():
                state = optimizer.state[parameter]
                if not is_of_rows(value, leaf):
                    state[name] = value
                    continue
                if name not in state:
                    state[name] = torch.zeros_like(parameter, dtype=value.dtype)
                state[name].index_copy_(0, numbers, value)
    for part in classifiers(loss).values():
        part.drawn_rows = None


def drawn_leaves(loss: Loss) -> Iterator[tuple[nn.Parameter, Tensor, Tensor]]:
    """(parameter, leaf of the rows of it that the last batch used, their numbers)"""
    for part in classifiers(loss).values():
        if part.drawn_rows is not None:
            for parameter, leaf in zip(part.row_parameters().values(), part.drawn_rows.leaves, strict=True):
                yield parameter, leaf, part.drawn_rows.numbers_K


def replace(optimizer: Optimizer, old: Tensor, new: Tensor) -> None:
    """`new` in the place of `old` among what is optimised."""
    for group in optimizer.param_groups:
        group["params"] = [new if parameter is old else parameter for parameter in group["params"]]


def is_of_rows(value: object, parameter: Tensor) -> bool:
    """Is it a part of an optimiser's state that has a value for each of the parameter's?"""
    return torch.is_tensor(value) and value.shape == parameter.shape
