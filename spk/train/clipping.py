"""Clipping by the norm of the whole gradient, of which a process may hold a part."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from spk.losses.classifier import classifiers
from spk.losses.loss import Loss
from spk.train.partial_softmax import drawn_leaves


def gradient_holders(parameters: Iterable[nn.Parameter], loss: Loss) -> tuple[list[Tensor], list[Tensor]]:
    """What has the gradients of the parameters: (alike in all processes, of rows that this process alone holds).

    In the place of a parameter of which the batch used some rows stands the leaf of these.
    """
    leaves = {id(parameter): leaf for parameter, leaf, _ in drawn_leaves(loss)}
    rows = {id(row) for part in classifiers(loss).values() if part.shard for row in part.row_parameters().values()}
    alike, own = [], []
    for one in parameters:
        (own if id(one) in rows else alike).append(leaves.get(id(one), one))
    return alike, own


def clip_gradients(parameters: Iterable[nn.Parameter], loss: Loss, limit: float | None) -> Tensor:
    """nn.utils.clip_grad_norm_ with the rows that other processes hold, and drawn rows, in the norm.

    Returns the norm before clipping, the same on all processes, on the device; a limit of None clips nothing.
    """
    alike, own = gradient_holders(parameters, loss)
    norm = norm_of_gradients(alike)
    if own:
        group = next(part.shard.group for part in classifiers(loss).values() if part.shard)
        norm = (norm**2 + group.all_reduce_sum(norm_of_gradients(own) ** 2)).sqrt()
    if limit is not None:
        nn.utils.clip_grads_with_norm_([*alike, *own], limit, norm)
    return norm


def norm_of_gradients(holders: Iterable[Tensor]) -> Tensor:
    return nn.utils.get_total_norm([one.grad for one in holders if one.grad is not None])
