"""Clipping by the norm of the whole gradient, of which a process may hold a part."""

from __future__ import annotations

from torch import Tensor, nn

from spk.losses.classifier import classifiers
from spk.losses.loss import Loss
from spk.train.partial_softmax import drawn_leaves


def clip_gradients(parameters: list[nn.Parameter], loss: Loss, limit: float) -> Tensor:
    """nn.utils.clip_grad_norm_ with the rows of the loss that other processes hold, and drawn rows, in the norm.

    Returns the norm before clipping, the same on all processes.
    """
    leaves = {id(parameter): leaf for parameter, leaf, _ in drawn_leaves(loss)}
    sharded = [part for part in classifiers(loss).values() if part.shard is not None]
    rows = {id(row) for part in sharded for row in part.row_parameters().values()}
    own = [leaves.get(id(one), one) for one in parameters if id(one) in rows]
    common = [leaves.get(id(one), one) for one in parameters if id(one) not in rows]
    if not sharded:
        return nn.utils.clip_grad_norm_(common, limit)
    common_square, own_square = (
        nn.utils.get_total_norm([one.grad for one in some if one.grad is not None]) ** 2 for some in (common, own)
    )
    norm = (common_square + sharded[0].shard.group.all_reduce_sum(own_square)).sqrt()
    nn.utils.clip_grads_with_norm_([*common, *own], limit, norm)
    return norm
