"""Memory for what is worked out on the way: on a CPU kept from call to call.

Memory that the system has just given costs more, page by page, than a pass of arithmetic over it.
"""

from __future__ import annotations

import math
import threading

import torch
from torch import Tensor

LARGEST_KEPT = 1 << 24  # bytes of one room; what a long recording takes is given back


class Rooms(threading.local):
    """`rooms("power", shape, like)`: a tensor without values, `like`'s type and device, or of another type.

    On a CPU it shares memory with all that the same thread took by this name before: a result must not lie in it.
    """

    def __init__(self) -> None:
        self.kept: dict[tuple[str, torch.dtype], Tensor] = {}

    def __call__(self, name: str, shape: tuple[int, ...], like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        dtype = dtype or like.dtype
        size = math.prod(shape)
        if like.device.type != "cpu" or size * dtype.itemsize > LARGEST_KEPT:
            return like.new_empty(shape, dtype=dtype)
        room = self.kept.get((name, dtype))
        if room is None or len(room) < size:
            with torch.inference_mode(False):  # it is written to in either mode later
                room = self.kept[name, dtype] = torch.empty(size, dtype=dtype)
        return room[:size].view(shape)


rooms = Rooms()
