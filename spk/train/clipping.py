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


def clip_gradients(parameters: Iterable[nn.Parameter], loss: Loss, limit: float) -> Tensor:
    """nn.utils.clip_grad_norm_ with the rows that other processes hold, and drawn rows, in the norm.

    Returns the norm before clipping, the same on all processes.
    """
    alike, own = gradient_holders(parameters, loss)
    if not own:
        return nn.utils.clip_grad_norm_(alike, limit)
    group = next(part.shard.group for part in classifiers(loss).values() if part.shard)
    squares = [
        nn.utils.get_total_norm([one.grad for one in some if one.grad is not None]) ** 2 for some in (alike, own)
    ]
    norm = (squares[0] + group.all_reduce_sum(squares[1])).sqrt()
    nn.utils.clip_grads_with_norm_([*alike, *own], limit, norm)
    return norm
