"""Initial weights of some speakers, drawn as if those of all were: the same for any number of processes.

Blocks of rows are drawn one after the other and those of other speakers thrown away, so that all processes' generators
stay alike, and no process ever holds the matrix of all speakers.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

# torch draws normal values in groups of 16 and begins anew at the end of a tensor, so that blocks with a multiple of 16
# values, and the last one with at least as many as the others, hold what one draw of the whole matrix would.
BLOCK_ROWS = 1024


def xavier_normal_rows(num_speakers: int, dim: int, first: int, last: int) -> Tensor:
    """Rows [first, last) of what nn.init.xavier_normal_ makes of a matrix [num_speakers, dim], from torch's generator.

    Glorot and Bengio, AISTATS 2010: normal with variance 2 / (num_speakers + dim).
    """
    deviation = math.sqrt(2 / (num_speakers + dim))
    rows = torch.empty(last - first, dim)
    for begin, end in blocks(num_speakers):
        block = torch.empty(end - begin, dim).normal_(0, deviation)
        own = slice(max(first, begin), min(last, end))
        if own.start < own.stop:
            rows[own.start - first : own.stop - first] = block[own.start - begin : own.stop - begin]
    return rows


def draw_unused(count: int) -> None:
    """Move torch's generator on by `count` uniform numbers."""
    for begin in range(0, count, 2**20):
        torch.empty(min(2**20, count - begin)).uniform_()


def blocks(num_speakers: int) -> list[tuple[int, int]]:
    """(begin, end) of blocks of BLOCK_ROWS rows; the last one has what is left besides."""
    begins = [BLOCK_ROWS * block for block in range(max(1, num_speakers // BLOCK_ROWS))]
    return list(itertools.pairwise([*begins, num_speakers]))
