"""What every loss keeps; registering one gets it tested."""

from __future__ import annotations

import pytest
import torch
from unit.losses.definitions import build, draw

from spk.errors import InputError
from spk.losses import LOSSES
from spk.nets.embedder import build_embedder

LABELS = torch.arange(4).repeat_interleave(2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", list(LOSSES))
def test_every_loss_is_a_scalar_in_float32_or_better(name, dtype):
    loss = build({"name": name})
    loss = loss if dtype == torch.float64 else loss.float()
    value = loss(draw(8, 7).to(dtype), LABELS)
    assert value.shape == ()
    assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


@pytest.mark.parametrize("name", list(LOSSES))
def test_every_gradient_is_that_of_finite_differences(name):
    """The definitions show this of the losses that they know; here, of one that is only registered."""
    loss = build({"name": name})

    def value(x):
        torch.manual_seed(3)  # the same negatives each time
        return loss(x, LABELS)

    assert torch.autograd.gradcheck(value, draw(8, 7).requires_grad_())


@pytest.mark.parametrize("name", list(LOSSES))
def test_every_loss_teaches_a_network(name):
    """One batch of two crops of each of four speakers; what is drawn, is drawn alike at each step."""
    torch.manual_seed(0)
    section = {"name": "fast_resnet34", "channels": 0.125, "embedding_dim": 16, "pooling": "sap"}
    embedder = build_embedder("instance", section, num_bins=24)
    loss = LOSSES.build("loss", {"name": name}, embedding_dim=16, num_speakers=4, utterances_per_speaker=2)
    parameters = [*embedder.parameters(), *loss.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    features = torch.randn(8, 24, 24)
    values = []
    for _ in range(21):
        torch.manual_seed(1)
        value = loss(embedder(features), LABELS)
        values.append(value.item())
        optimizer.zero_grad()
        value.backward()
        assert all(p.grad.isfinite().all() for p in parameters)
        optimizer.step()
    assert values[-1] < values[0]


@pytest.mark.parametrize(
    "section, message",
    [
        ({"name": "am_softmax", "margin": -1}, r"loss\.margin: -1.* allowed: at least 0"),
        ({"name": "am_softmax", "margn": 0.2}, r"loss\.margn: unknown key; did you mean 'margin'"),
        ({"name": "am_softmax", "margin": "big"}, r"loss\.margin: 'big' must be a finite number"),
        ({"name": "am_sotfmax"}, r"loss\.name: no loss is named 'am_sotfmax'; did you mean 'am_softmax'"),
        ({"name": "a_softmax", "margin": 2.5}, r"loss\.margin: 2\.5 must be a whole number"),
        ({"name": "a_softmax", "margin": 0}, r"loss\.margin: 0 is out of range; allowed: at least 1"),
        ({"name": "aam_softmax", "margin": 1.6}, r"loss\.margin: 1\.6 is out of range; allowed: .* at most 1\.57"),
        ({"name": "triplet", "mining": "hard"}, r"loss\.mining: 'hard' is not known; .*Known: random, rank, semi_hard"),
        ({"name": "triplet", "probability": 1.5}, r"loss\.probability: 1\.5 is out of range; .*at most 1"),
        ({"name": "ge2e", "form": "hinge"}, r"loss\.form: 'hinge' is not known"),
        ({"name": "ge2e", "scale": 0}, r"loss\.scale: 0 is out of range; allowed: above 0"),
        ({"name": "sum", "first": "softmx"}, r"loss\.first\.name: no loss is named 'softmx'; did you mean 'softmax'"),
        ({"name": "sum", "second": {"name": "am_softmax", "margin": -1}}, r"loss\.second\.margin: -1 is out of range"),
    ],
)
def test_a_bad_section_is_refused_with_the_key_and_what_is_allowed(section, message):
    with pytest.raises(InputError, match=message):
        build(section)
