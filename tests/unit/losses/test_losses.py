"""Each objective against its equation, written out slowly in float64."""

from __future__ import annotations

import math

import pytest
import torch

from spk.errors import InputError
from spk.losses import LOSSES


def draw(num_items=5, dim=7, num_speakers=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(num_items, dim, generator=generator, dtype=torch.float64)
    labels = torch.randint(num_speakers, (num_items,), generator=generator)
    return embeddings, labels


def build(section, num_speakers=4, dim=7):
    torch.manual_seed(1)
    return LOSSES.build("loss", section, embedding_dim=dim, num_speakers=num_speakers).double()


def by_definition(embeddings, weights, labels, scale, phi):
    """-mean log(e^{s phi(cos_y)} / (e^{s phi(cos_y)} + sum_{j != y} e^{s cos_j})), one number at a time."""
    total = 0.0
    for x, y in zip(embeddings.tolist(), labels.tolist(), strict=True):
        cosines = []
        for w in weights.tolist():
            dot = sum(a * b for a, b in zip(x, w, strict=True))
            cosines.append(dot / math.sqrt(sum(a * a for a in x)) / math.sqrt(sum(b * b for b in w)))
        target = math.exp(scale * phi(cosines[y]))
        others = sum(math.exp(scale * cosine) for j, cosine in enumerate(cosines) if j != y)
        total -= math.log(target / (target + others))
    return total / len(labels)


MARGINS = [
    ({"name": "am_softmax", "margin": 0.3, "scale": 5}, lambda c: c - 0.3),
    (
        {"name": "dam_softmax", "margin": 0.3, "control": 1.5, "scale": 5},
        lambda c: c - 0.3 * math.exp(1 - c) / 1.5,
    ),
]


@pytest.mark.parametrize("section, phi", MARGINS)
def test_margin_losses_equal_their_equation(section, phi):
    embeddings, labels = draw()
    loss = build(section)
    expected = by_definition(embeddings, loss.weight_CD, labels, section["scale"], phi)
    assert loss(embeddings, labels).item() == pytest.approx(expected, rel=1e-10)


def test_softmax_equals_its_equation():
    embeddings, labels = draw()
    loss = build({"name": "softmax"})
    with torch.no_grad():
        loss.classifier.bias.copy_(torch.tensor([0.1, -0.2, 0.3, 0.0]))
    weights, bias = loss.classifier.weight.tolist(), loss.classifier.bias.tolist()
    total = 0.0
    for x, y in zip(embeddings.tolist(), labels.tolist(), strict=True):
        logits = [sum(a * b for a, b in zip(x, w, strict=True)) + b0 for w, b0 in zip(weights, bias, strict=True)]
        total -= logits[y] - math.log(sum(math.exp(logit) for logit in logits))
    assert loss(embeddings, labels).item() == pytest.approx(total / len(labels), rel=1e-10)


@pytest.mark.parametrize("cosine, margin", [(1.0, 0.100), (0.0, 0.272), (-1.0, 0.739)])
def test_dynamic_margin_as_the_paper_plots_it(cosine, margin):
    loss = build({"name": "dam_softmax", "margin": 0.2, "control": 2})
    assert cosine - loss.add_margin(torch.tensor(cosine)).item() == pytest.approx(margin, abs=5e-4)


@pytest.mark.parametrize("detach, slope", [(False, 1 + 0.2 * math.exp(1 - 0.4) / 2), (True, 1.0)])
def test_slope_of_the_dynamic_margin(detach, slope):
    loss = build({"name": "dam_softmax", "margin": 0.2, "control": 2, "detach_margin": detach})
    cosine = torch.tensor(0.4, dtype=torch.float64, requires_grad=True)
    loss.add_margin(cosine).backward()
    assert cosine.grad.item() == pytest.approx(slope)


@pytest.mark.parametrize("name", list(LOSSES))
def test_gradients_are_those_of_finite_differences(name):
    embeddings, labels = draw()
    loss = build({"name": name})
    assert torch.autograd.gradcheck(lambda x: loss(x, labels), embeddings.requires_grad_())


@pytest.mark.parametrize("name", list(LOSSES))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_finite_where_an_embedding_lies_on_or_against_its_speaker(name, dtype):
    loss = build({"name": name}).float()
    direction = (loss.classifier.weight if name == "softmax" else loss.weight_CD)[0].detach()
    embeddings = torch.stack([direction, -direction, direction * 1e3]).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(embeddings, torch.zeros(3, dtype=torch.long))
    assert value.dtype == torch.float32
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(embeddings.grad).all()


@pytest.mark.parametrize(
    "section, message",
    [
        ({"name": "am_softmax", "margin": -1}, r"loss\.margin: -1.* allowed: at least 0"),
        ({"name": "am_softmax", "margn": 0.2}, r"loss\.margn: unknown key; did you mean 'margin'"),
        ({"name": "am_softmax", "margin": "big"}, r"loss\.margin: 'big' must be a finite number"),
        ({"name": "am_sotfmax"}, r"loss\.name: no loss is named 'am_sotfmax'; did you mean 'am_softmax'"),
    ],
)
def test_a_bad_section_is_refused_with_the_key_and_what_is_allowed(section, message):
    with pytest.raises(InputError, match=message):
        build(section)
