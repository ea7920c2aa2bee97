"""Losses whose speakers are shared out to processes, against the same losses in one process."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from rank_processes import on_ranks
from torch.testing import assert_close
from unit.losses.definitions import draw

from spk.collectives import ALONE
from spk.losses import LOSSES
from spk.losses.classifier import classifiers
from spk.losses.shard import Shard

C, D, M = 7, 5, 2  # speakers: shares of 3 and 4, or 2, 2 and 3; dimensions; utterances of each
COUNTS = {2: (6, 2), 3: (4, 2, 2)}  # embeddings of each process: shares of unequal size
SECTIONS = [
    {"name": "softmax"},
    {"name": "nsl"},
    {"name": "a_softmax"},
    {"name": "a_softmax", "annealing": 3.0},
    {"name": "am_softmax"},
    {"name": "aam_softmax"},
    {"name": "dam_softmax"},
    {"name": "dam_softmax", "detach_margin": True},
    {"name": "nsl", "scale": 300.0},  # e^300 is no float32
    {"name": "softmax_angular_prototypical"},
    {"name": "sum", "first": "ge2e", "second": "aam_softmax"},
    {"name": "sum", "first": "dam_softmax", "second": "softmax"},
]
LABELS = [[0, 3, 4, 6], [1, 0, 1, 0]]  # of speakers of all processes; of the first one alone, some twice
PRECISIONS = {torch.float32: 1e-5, torch.float64: 1e-11}  # of the largest value, or of 1
DRAWN = torch.arange(C) == 2  # with the second labels, the last process has no row in use
CASES = [(section, labels, dtype) for section in SECTIONS for labels in LABELS for dtype in PRECISIONS]


def built(section, shard, dtype, num_speakers=C, dim=D):
    torch.manual_seed(1)
    given = {"embedding_dim": dim, "num_speakers": num_speakers, "utterances_per_speaker": M}
    return LOSSES.build("loss", section, shard=shard, **given).to(dtype)


def worked_out(section, labels, dtype, group, counts, drawn=None, shard=True):
    """The value, the gradient of this process's embeddings, and for each name of the loss's what it holds a part of."""
    loss = built(section, Shard(C, group) if shard else None, dtype)
    for part in classifiers(loss).values():
        part.drawn_C = None if drawn is None else drawn[part.rows[0] : part.rows[1]]
    first = sum(counts[: group.rank])
    own = draw(len(labels) * M, D)[first : first + counts[group.rank]].to(dtype).requires_grad_()
    value = loss(group.gather_rows(own, counts), torch.tensor(labels).repeat_interleave(M))
    value.backward()
    return {
        "value": value.item(),
        "embeddings": own.grad,
        "gradients": gradients(loss),
        "weights": {name: value.detach() for name, value in loss.named_parameters()},
        "rows": [name + row for name, part in classifiers(loss).items() for row in part.row_parameters()],
        "after": torch.rand(1),
    }


def gradients(loss):
    found = {name: parameter.grad for name, parameter in loss.named_parameters()}
    for prefix, part in classifiers(loss).items():
        if part.drawn_rows is not None:
            for (name, row), leaf in zip(part.row_parameters().items(), part.drawn_rows.leaves, strict=True):
                assert found[prefix + name] is None
                found[prefix + name] = torch.zeros_like(row).index_copy(0, part.drawn_rows.numbers_K, leaf.grad)
    return found


def all_cases(group, counts):
    full, drawn = ([worked_out(*case, group, counts, drawn) for case in CASES] for drawn in (None, DRAWN))
    return full, drawn, worked_by_hand(group) if group.size == 3 else None


@pytest.fixture(scope="module", params=COUNTS)
def ranks(request, tmp_path_factory):
    """What each rank found: one start of the processes for all cases."""
    return on_ranks(all_cases, request.param, tmp_path_factory.mktemp("ranks"), COUNTS[request.param])


def assert_near(got, expected, tolerance):
    assert_close(got, expected, rtol=0, atol=tolerance * max(1.0, float(expected.abs().max())))


def assert_ranks_equal(ranks, alone, tolerance):
    for rank in ranks:
        assert rank["value"] == ranks[0]["value"]
        assert math.isfinite(rank["value"])
        assert torch.equal(rank["after"], alone["after"])  # what is drawn next
    assert ranks[0]["value"] == pytest.approx(alone["value"], rel=tolerance, abs=tolerance)
    assert_near(torch.cat([rank["embeddings"] for rank in ranks]), alone["embeddings"], tolerance)
    for name, expected in alone["weights"].items():
        parts, slopes = ([rank[what][name] for rank in ranks] for what in ("weights", "gradients"))
        if name in alone["rows"]:
            parts, slopes = [torch.cat(parts)], [torch.cat(slopes)]
        for part, slope in zip(parts, slopes, strict=True):
            assert torch.equal(part, expected)
            assert_near(slope, alone["gradients"][name], tolerance)


def test_value_and_gradients_are_those_of_one_process_with_all_speakers(ranks):
    for index, case in enumerate(CASES):
        alone = worked_out(*case, ALONE, (8,), shard=False)
        assert_ranks_equal([rank[0][index] for rank in ranks], alone, PRECISIONS[case[2]])


def test_drawn_speakers_shared_out_give_the_value_and_gradients_of_one_process(ranks):
    for index, case in enumerate(CASES):
        alone = worked_out(*case, ALONE, (8,), DRAWN, shard=False)
        assert_ranks_equal([rank[1][index] for rank in ranks], alone, PRECISIONS[case[2]])


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: "-".join(map(str, section.values())))
def test_left_out_speakers_are_as_if_they_did_not_exist(section):
    labels = [6, 0]
    used = [0, 2, 6]  # one drawn, and the batch's own
    some = worked_out(section, labels, torch.float64, ALONE, (4,), DRAWN, shard=False)
    fewer = built(section, None, torch.float64, num_speakers=len(used))
    with torch.no_grad():
        for name, parameter in fewer.named_parameters():
            whole = some["weights"][name]
            parameter.copy_(whole[used] if name in some["rows"] else whole)
    x = draw(4, D).requires_grad_()
    value = fewer(x, torch.tensor([2, 2, 0, 0]))
    value.backward()
    assert some["value"] == pytest.approx(value.item(), rel=1e-12)
    assert_close(some["embeddings"], x.grad, rtol=1e-10, atol=1e-12)
    for name, parameter in fewer.named_parameters():
        gradient = some["gradients"][name]
        if name in some["rows"]:
            left_out = [row for row in range(C) if row not in used]
            assert not gradient[left_out].any()
            gradient = gradient[used]
        assert_close(gradient, parameter.grad, rtol=1e-10, atol=1e-12)


def worked_by_hand(group):
    """Logits ln 2, ln 3 and ln 6 of three speakers, one on each process; the target is the second."""
    loss = built({"name": "softmax"}, Shard(3, group), torch.float64, num_speakers=3, dim=2)
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    with torch.no_grad():
        loss.classifier.weight.copy_(rows[slice(*loss.rows)])
    x = torch.tensor([[2.0, 3.0]], dtype=torch.float64).log().requires_grad_()
    value = loss(x, torch.tensor([1]))
    value.backward()
    return value.item(), x.grad.tolist(), loss.classifier.weight.grad.tolist(), loss.classifier.bias.grad.tolist()


def test_a_case_worked_by_hand(ranks):
    if len(ranks) < 3:
        return  # it has a speaker for each of three
    log_2, log_3 = math.log(2), math.log(3)
    slopes = [2 / 11, 3 / 11 - 1, 6 / 11]  # shares of 2, 3 and 6 in their sum, less 1 for the target
    for rank, (value, x, weight, bias) in enumerate(rank[2] for rank in ranks):
        assert value == pytest.approx(math.log(11 / 3), rel=1e-12)
        assert x == [pytest.approx([8 / 11, 9 / 11 - 1], rel=1e-12)]
        assert weight == [pytest.approx([slopes[rank] * log_2, slopes[rank] * log_3], rel=1e-12)]
        assert bias == [pytest.approx(slopes[rank], rel=1e-12)]


def test_shares_are_contiguous_and_differ_by_one_at_most():
    for num_speakers in (1, 2, 7, 5994, 1_000_003):
        for size in (1, 2, 3, 7, 64):
            groups = [type("Rank", (), {"rank": rank, "size": size})() for rank in range(size)]
            shards = [Shard(num_speakers, group) for group in groups]
            assert shards[0].first == 0
            assert shards[-1].last == num_speakers
            assert all(one.last == other.first for one, other in itertools.pairwise(shards))
            sizes = {shard.last - shard.first for shard in shards}
            assert max(sizes) - min(sizes) <= 1
