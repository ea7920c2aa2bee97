"""Batch norm over processes against torch's over the whole batch: outputs, gradients and running statistics."""

from __future__ import annotations

import pytest
import torch
from rank_processes import on_ranks
from torch import nn
from torch.testing import assert_close

from spk.collectives import ALONE, Group
from spk.nets.sync_batch_norm import SyncBatchNorm, synchronize_batch_norms

COUNTS = {2: (3, 2), 3: (1, 3, 1)}  # of five
CASES = {
    "vectors": (nn.BatchNorm1d, {}, (5, 4)),
    "frames": (nn.BatchNorm1d, {"affine": False}, (5, 4, 6)),
    "maps": (nn.BatchNorm2d, {"momentum": 0.3, "eps": 1e-3}, (5, 4, 3, 2)),
    "maps, channels last": (nn.BatchNorm2d, {}, (5, 4, 3, 2)),
    "far from zero": (nn.BatchNorm1d, {"momentum": None}, (5, 4, 6)),
}


def norm_of(name: str) -> nn.Module:
    kind, arguments, _ = CASES[name]
    norm = kind(4, **arguments).double()
    if norm.affine:
        with torch.no_grad():
            norm.weight.copy_(torch.tensor([0.5, -1.0, 2.0, 0.1]))
            norm.bias.copy_(torch.tensor([1.0, 0.0, -1.0, 3.0]))
    return norm


def batch_of(name: str) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(CASES[name][2], dtype=torch.float64, generator=generator)
    x = x + 1e4 if name == "far from zero" else x
    return x.to(memory_format=torch.channels_last) if "last" in name else x


def two_steps(group: Group, name: str, counts: tuple[int, ...]) -> dict[str, torch.Tensor]:
    first = sum(counts[: group.rank])
    x = batch_of(name)[first : first + counts[group.rank]].clone(memory_format=torch.preserve_format).requires_grad_()
    module = nn.Sequential(norm_of(name))
    synchronize_batch_norms(module, group)
    module(2 * x.detach())
    y = module(x)
    torch.sin(y + y.detach() ** 2).sum().backward()
    found = {"output": y.detach(), "gradient": x.grad, "evaluated": module.eval()(x).detach()}
    found |= {f"gradient of {key}": parameter.grad for key, parameter in module.named_parameters()}
    return found | {f"state {key}": value for key, value in module.state_dict().items()}


def all_cases(group: Group, counts: tuple[int, ...]) -> dict[str, dict[str, torch.Tensor]]:
    return {name: two_steps(group, name, counts) for name in CASES}


@pytest.mark.parametrize("size", [2, 3])
def test_shares_of_unequal_size_are_normalised_as_the_whole_batch(size, tmp_path):
    ranks = on_ranks(all_cases, size, tmp_path, COUNTS[size])
    for name in CASES:
        x, norm = batch_of(name).requires_grad_(), nn.Sequential(norm_of(name))
        norm(2 * x.detach())
        y = norm(x)
        torch.sin(y + y.detach() ** 2).sum().backward()
        close = {"rtol": 1e-7, "atol": 1e-7 if name == "far from zero" else 1e-10}
        assert_close(torch.cat([rank[name]["output"] for rank in ranks]), y.detach(), **close)
        assert_close(torch.cat([rank[name]["gradient"] for rank in ranks]), x.grad, **close)
        for key, parameter in norm.named_parameters():
            assert_close(sum(rank[name][f"gradient of {key}"] for rank in ranks), parameter.grad, **close)
        evaluated = norm.eval()(x).detach()
        assert_close(torch.cat([rank[name]["evaluated"] for rank in ranks]), evaluated, **close)
        for key, value in norm.state_dict().items():
            for rank in ranks:
                assert_close(rank[name][f"state {key}"], value, **close)


def test_in_a_process_alone_it_is_torchs_own_with_the_same_names():
    x = torch.randn(5, 4, 6)
    plain = nn.BatchNorm1d(4)
    own = SyncBatchNorm.from_batch_norm(nn.BatchNorm1d(4), ALONE)
    assert torch.equal(own(x), plain(x))
    assert own.state_dict().keys() == plain.state_dict().keys()
    for name, value in plain.state_dict().items():
        assert torch.equal(own.state_dict()[name], value)


def in_bfloat16(group: Group, counts: tuple[int, ...]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    rows = slice(sum(counts[: group.rank]), sum(counts[: group.rank + 1]))
    found = {}
    for name in ("vectors", "frames", "maps, channels last"):
        whole, slopes = (batch_of(name) * scale for scale in (1.0, 0.25))
        x = whole[rows].bfloat16().requires_grad_()
        module = nn.Sequential(norm_of(name).float())
        synchronize_batch_norms(module, group)
        with torch.autocast("cpu", torch.bfloat16):
            y = module(x)
        y.backward((slopes[rows] + 1).to(y.dtype))
        found[name] = y.detach(), x.grad
    return found


def test_what_autocast_makes_bfloat16_is_rounded_once(tmp_path):
    ranks = on_ranks(in_bfloat16, 2, tmp_path, COUNTS[2])
    for name in ranks[0]:
        x = batch_of(name).bfloat16().double().requires_grad_()
        y = norm_of(name)(x)
        y.backward((0.25 * batch_of(name) + 1).bfloat16().double())
        # Of eight binary digits.
        for of_ranks, exact in zip(
            zip(*(rank[name] for rank in ranks), strict=True), (y.detach(), x.grad), strict=True
        ):
            assert of_ranks[0].dtype == torch.bfloat16
            assert_close(torch.cat(of_ranks).double(), exact, rtol=2**-8, atol=1e-6)
