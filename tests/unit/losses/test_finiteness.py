"""Finite, right and alive where cosines reach 1 and -1, whatever precision the embeddings come in."""

from __future__ import annotations

import contextlib
import math

import pytest
import torch
from unit.losses.definitions import PHI, build, define, draw, parameters_of

from spk.losses import LOSSES

CLASSIFICATION = ["softmax", *PHI]
PAIRS = ["contrastive", "triplet"]
DTYPES = [torch.float32, torch.bfloat16, torch.float16]
COSINES = [1.0, 1 - 1e-4, -1 + 1e-4, -1.0]
SECTIONS = [
    {"name": "softmax"},
    {"name": "a_softmax"},
    # Scales at which no probability is so near to 1 that its gradient is rightly 0 in half precision
    *({"name": name, "scale": 4.0} for name in ("nsl", "am_softmax", "dam_softmax")),
    {"name": "dam_softmax", "scale": 4.0, "detach_margin": True},
    *({"name": "aam_softmax", "scale": 4.0, "margin": margin} for margin in (0.2, 0.5, 1.5)),
    # Margins that no pair is beyond, so that every pair has a gradient
    {"name": "contrastive", "margin": 2.0},
    {"name": "triplet", "margin": 4.0, "mining": "rank", "hardest": 0.0},
    {"name": "prototypical"},
    {"name": "angular_prototypical"},
    {"name": "ge2e", "form": "softmax"},
    {"name": "ge2e", "form": "contrast"},
]
EVERY = [(section, m) for section in SECTIONS for m in (2, 3) if m == 2 or section["name"] not in PAIRS]
SUM = {"name": "sum", "first": "aam_softmax", "second": "ge2e"}


def show(value):
    return "-".join(str(part) for part in value.values()) if isinstance(value, dict) else str(value).split(".")[-1]


def turned(start, cosine, seed=0):
    """Unit vectors [B, D] at this cosine from the rows of `start`, in float64."""
    start = torch.nn.functional.normalize(start.double(), dim=1)
    across = draw(*start.shape, seed=seed)
    across = torch.nn.functional.normalize(across - (across * start).sum(dim=1, keepdim=True) * start, dim=1)
    return cosine * start + math.sqrt(1 - cosine**2) * across


def batch_at(loss, section, cosine, utterances, num_speakers=3, dim=8):
    """Embeddings at this cosine from their weights, or from the first utterance of their speaker; lengths differ."""
    labels = torch.arange(num_speakers).repeat_interleave(utterances)
    if section["name"] in CLASSIFICATION:
        start = (loss.classifier.weight if section["name"] == "softmax" else loss.weight_CD).detach()[labels]
        return turned(start, cosine) * torch.linspace(0.5, 4, len(labels))[:, None], labels
    start = draw(num_speakers, dim)[labels]
    x = turned(start, cosine)
    x[::utterances] = turned(start, 1.0)[::utterances]
    return x * torch.linspace(1, 1.5, len(labels))[:, None], labels


def value_and_gradients(loss, embeddings, labels, autocast):
    context = torch.autocast("cpu", dtype=torch.bfloat16) if autocast else contextlib.nullcontext()
    with context:
        value = loss(embeddings, labels)
    value.backward()
    return value.detach(), [embeddings.grad, *(p.grad for p in loss.parameters() if p.grad is not None)]


@pytest.mark.parametrize("autocast", [False, True], ids=["plain", "autocast"])
@pytest.mark.parametrize("dtype", DTYPES, ids=show)
@pytest.mark.parametrize("cosine", COSINES)
@pytest.mark.parametrize("section, utterances", EVERY, ids=show)
def test_right_and_finite_on_and_against_ones_own(section, utterances, cosine, dtype, autocast):
    loss = build(section, 3, 8, utterances).float()
    embeddings, labels = batch_at(loss, section, cosine, utterances)
    embeddings = embeddings.to(dtype).requires_grad_()
    value, gradients = value_and_gradients(loss, embeddings, labels, autocast)
    assert value.dtype == torch.float32
    # The equation in float64 of the same rounded embeddings: nothing inside is rounded to half precision.
    parameters = {name: array.astype("float64") for name, array in parameters_of(loss).items()}
    expected = define(section, embeddings.detach().double(), labels, utterances, parameters)
    # float32 knows sin(theta) near 0 to 3e-4, and so the AAM logits to 3e-4 sin(m) of their scale.
    assert value.item() == pytest.approx(expected, rel=1e-4, abs=3.2e-4 * 4 if "aam" in section["name"] else 1e-4)
    for gradient in gradients:
        assert gradient.isfinite().all()
    assert gradients[0].abs().max() > 0


@pytest.mark.parametrize("dtype", DTYPES, ids=show)
@pytest.mark.parametrize("cosine", COSINES)
@pytest.mark.parametrize("section", [*({"name": name} for name in LOSSES), SUM], ids=show)
def test_finite_as_configured_by_default_on_and_against_ones_own(section, cosine, dtype):
    loss = build(section, 3, 8, 2).float()
    embeddings, labels = batch_at(loss, section, cosine, 2)
    embeddings = embeddings.to(dtype).requires_grad_()
    value, gradients = value_and_gradients(loss, embeddings, labels, autocast=True)
    assert value.isfinite()
    for gradient in gradients:
        assert gradient.isfinite().all()


@pytest.mark.parametrize("dtype", DTYPES, ids=show)
@pytest.mark.parametrize("name", list(LOSSES))
def test_finite_where_all_embeddings_are_the_same(name, dtype):
    loss = build({"name": name}, 3, 8, 2).float()
    embeddings = draw(1, 8).expand(6, 8).to(dtype).clone().requires_grad_()
    labels = torch.arange(3).repeat_interleave(2)
    value, gradients = value_and_gradients(loss, embeddings, labels, autocast=True)
    assert value.isfinite()
    for gradient in gradients:
        assert gradient.isfinite().all()


def nothing():
    """One embedding is 0."""
    x = draw(9, 8)
    x[2] = 0
    return x


def cancelling(rest):
    """The utterances of the first speaker cancel one another, but for `rest`: their mean has no direction."""
    x = draw(9, 8)
    x[1] = -x[0] + rest
    x[2] = 0.5 * x[2]
    return x


@pytest.mark.parametrize("dtype", DTYPES, ids=show)
@pytest.mark.parametrize(
    "embeddings", [nothing(), cancelling(0.0), cancelling(1e-8)], ids=["nothing", "opposed", "nearly opposed"]
)
@pytest.mark.parametrize("name", [name for name in LOSSES if name not in PAIRS])
def test_vectors_without_a_direction_do_not_blow_up_the_gradient(name, embeddings, dtype):
    loss = build({"name": name}, 3, 8, 3).float()
    embeddings = embeddings.to(dtype).requires_grad_()
    value, gradients = value_and_gradients(loss, embeddings, torch.arange(3).repeat_interleave(3), autocast=False)
    assert value.isfinite()
    for gradient in gradients:
        assert gradient.abs().max() < 1e3
    assert gradients[0].abs().max() > 0


@pytest.mark.parametrize("name", PAIRS)
def test_a_pair_without_a_direction_does_not_blow_up_the_gradient(name):
    embeddings = nothing()[:6].float().requires_grad_()
    value, gradients = value_and_gradients(
        build({"name": name}, 3, 8, 2).float(), embeddings, torch.arange(3).repeat_interleave(2), autocast=False
    )
    assert value.isfinite()
    assert gradients[0].abs().max() < 1e3


@pytest.mark.parametrize("name", list(LOSSES))
def test_every_loss_is_finite_for_very_long_and_very_short_embeddings(name):
    for size in (1e-4, 1e4):
        embeddings = (draw(6, 8) * size).float().requires_grad_()
        loss = build({"name": name}, 3, 8, 2).float()
        value, gradients = value_and_gradients(loss, embeddings, torch.arange(3).repeat_interleave(2), autocast=True)
        assert value.isfinite()
        for gradient in gradients:
            assert gradient.isfinite().all()
