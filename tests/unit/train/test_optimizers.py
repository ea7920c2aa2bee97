"""Optimisers are the fused ones of a GPU where the parameters are on one, and go on from checkpoints of the others."""

from __future__ import annotations

import copy

import pytest
import torch

from spk.train.optimizers import OPTIMIZERS


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_a_checkpoint_of_a_fused_optimiser_goes_on_unfused_on_the_cpu(name):
    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = OPTIMIZERS.build("optimizer", {"name": name}, parameters=iter([weight]))
    assert not optimizer.param_groups[0]["fused"]
    weight.grad = torch.ones(2)
    optimizer.step()
    state = optimizer.state_dict()
    state["param_groups"][0] |= {"fused": True, "lr": 0.5}
    optimizer.load_state_dict(state)
    assert not optimizer.param_groups[0]["fused"]
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert state["param_groups"][0]["fused"]
    assert torch.equal(optimizer.state_dict()["state"][0][key := next(iter(state["state"][0]))], state["state"][0][key])


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)])
def test_parameters_on_a_gpu_are_moved_by_one_kernel(name, kind, monkeypatch):
    given = {}
    monkeypatch.setattr(torch.nn.Parameter, "is_cuda", True)  # stands in for a GPU
    monkeypatch.setattr(kind, "__init__", lambda self, parameters, **options: given.update(options))
    for hook in ("register_load_state_dict_pre_hook", "register_load_state_dict_post_hook"):
        monkeypatch.setattr(kind, hook, lambda self, hook: None)
    OPTIMIZERS.build("optimizer", {"name": name, "weight_decay": 0.1}, parameters=[torch.nn.Parameter(torch.ones(1))])
    assert given["fused"] is True
    assert given["weight_decay"] == 0.1


def test_what_is_fused_moves_parameters_as_what_is_not_up_to_rounding():
    ends = []
    for fused in (False, True):
        torch.manual_seed(1)
        weight = torch.nn.Parameter(torch.randn(50))
        optimizer = OPTIMIZERS.build("optimizer", {"name": "adam", "weight_decay": 0.01}, parameters=[weight])
        optimizer.param_groups[0]["fused"] = fused
        for _ in range(5):
            weight.grad = torch.randn(50)
            optimizer.step()
        ends.append(weight.detach())
    torch.testing.assert_close(*ends, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_a_checkpoint_goes_on_where_weights_lie_otherwise_in_memory(name):
    """Fused kernels go through weights and what the optimiser keeps of them as they lie in memory."""
    torch.manual_seed(1)
    values, gradients = torch.randn(4, 3, 3, 3), torch.randn(2, 4, 3, 3, 3)
    ends, state = [], None
    for layout in (torch.contiguous_format, torch.channels_last):
        weight = torch.nn.Parameter(values.clone(memory_format=layout))
        optimizer = OPTIMIZERS.build("optimizer", {"name": name}, parameters=[weight])
        if state is None:
            weight.grad = gradients[0].clone()
            optimizer.step()
            state, values = copy.deepcopy(optimizer.state_dict()), weight.detach().clone()
        else:
            optimizer.load_state_dict(state)
            for key, value in state["state"][0].items():
                assert torch.equal(torch.as_tensor(optimizer.state[weight][key]), torch.as_tensor(value))
        optimizer.param_groups[0]["fused"] = True
        weight.grad = torch.empty_like(weight).copy_(gradients[1])
        optimizer.step()
        ends.append(weight.detach())
    assert ends[1].stride() != ends[0].stride()
    torch.testing.assert_close(*ends)
