"""Sums, rows and flags over processes, and their gradients, against what one process computes of all rows."""

from __future__ import annotations

import pytest
import torch
from rank_processes import on_ranks
from torch.testing import assert_close

from spk.collectives import ALONE, Group

COUNTS = {2: (3, 2), 3: (2, 2, 1)}  # five rows in all
ROWS = torch.arange(10.0, dtype=torch.float64).reshape(5, 2).sin()


def what_a_rank_sees(group: Group, counts: tuple[int, ...]) -> dict:
    first = sum(counts[: group.rank])
    own = slice(first, first + counts[group.rank])
    seen = {"rank": group.rank, "size": group.size}

    x = ROWS[own].clone().requires_grad_()
    seen["rows"] = group.gather_rows(x, counts)
    (seen["rows"] ** 3).sum().backward()  # the whole loss, computed alike by all
    seen["gradient of a replicated loss"] = x.grad

    x = ROWS[own].clone().requires_grad_()
    part = group.gather_rows(x, counts, summed=True) ** 3
    (part[:, 0] if group.rank == 0 else part[:, 1] / (group.size - 1)).sum().backward()  # parts that add up to it
    seen["gradient of a loss in parts"] = x.grad

    x = ROWS[own].sum(dim=0).requires_grad_()
    total = group.all_reduce_sum(x)
    seen["sum"] = total.detach().clone()
    ((group.rank + 1) * total**2).sum().backward()
    seen["gradient of the sum"] = x.grad

    seen["largest"] = group.all_reduce_max(ROWS[own].amax(dim=0).requires_grad_())
    transposed = torch.full((3, 2), float(group.rank)).T
    seen["sum of what is not contiguous"] = group.all_reduce_sum(transposed)
    seen["untouched"] = transposed
    seen["objects"] = group.gather_objects({"rank": group.rank})
    seen["from the last"] = group.broadcast_object(f"rank {group.rank}", source=group.size - 1)
    seen["flags"] = [group.any_rank(False), group.any_rank(group.rank == group.size - 1), group.any_rank(True)]
    seen["number"] = group.largest(10 - group.rank)
    return {name: value.detach() if torch.is_tensor(value) else value for name, value in seen.items()}


@pytest.mark.parametrize("size", [2, 3])
def test_ranks_with_shares_of_unequal_size_see_what_one_process_with_all_rows_does(size, tmp_path):
    counts = COUNTS[size]
    ranks = on_ranks(what_a_rank_sees, size, tmp_path, counts)
    whole_gradient = 3 * ROWS**2
    total = ROWS.sum(dim=0)
    for rank, seen in enumerate(ranks):
        own = slice(sum(counts[:rank]), sum(counts[: rank + 1]))
        assert (seen["rank"], seen["size"]) == (rank, size)
        assert torch.equal(seen["rows"], ROWS)
        assert_close(seen["gradient of a replicated loss"], whole_gradient[own])
        assert_close(seen["gradient of a loss in parts"], whole_gradient[own])
        assert_close(seen["sum"], total)
        assert_close(seen["gradient of the sum"], 2 * total * sum(range(1, size + 1)))
        assert torch.equal(seen["largest"], ROWS.amax(dim=0))
        assert torch.equal(seen["sum of what is not contiguous"], torch.full((2, 3), float(sum(range(size)))))
        assert torch.equal(seen["untouched"], torch.full((2, 3), float(rank)))
        assert seen["objects"] == [{"rank": rank} for rank in range(size)]
        assert seen["from the last"] == f"rank {size - 1}"
        assert seen["flags"] == [False, True, True]
        assert seen["number"] == 10


def test_a_process_alone_gets_back_what_it_gave():
    x = ROWS.clone().requires_grad_()
    for given_back in (ALONE.all_reduce_sum(x), ALONE.gather_rows(x, [5]), ALONE.gather_rows(x, [5], summed=True)):
        assert given_back is x
    assert torch.equal(ALONE.all_reduce_max(x), ROWS)
    assert not ALONE.all_reduce_max(x).requires_grad
    assert ALONE.broadcast_object("it") == "it"
    assert ALONE.gather_objects("it") == ["it"]
    assert (ALONE.any_rank(False), ALONE.any_rank(True), ALONE.largest(7)) == (False, True, 7)
