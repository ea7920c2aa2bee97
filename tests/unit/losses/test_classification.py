"""The losses with a weight for each speaker: their equations, and how the target's logit moves with the angle."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from unit.losses.definitions import aam, assert_equals_its_equation, build, draw

DAM = {"name": "dam_softmax", "margin": 0.3, "control": 1.5, "scale": 6.0}
PLAIN = [{"name": "softmax"}, {"name": "nsl", "scale": 7.0}]
ANGULAR_MARGINS = [{"name": "aam_softmax", "margin": m, "scale": 6.0} for m in (0.1, 0.5, 1.0, 1.5)]
MULTIPLIED = [{"name": "a_softmax", "margin": m, "annealing": a} for m in (1, 2, 3, 4, 5) for a in (0.0, 3.0)]
SECTIONS = [
    *PLAIN,
    *MULTIPLIED,
    *ANGULAR_MARGINS,
    {"name": "am_softmax", "margin": 0.3, "scale": 6.0},
    DAM,
]


def show(section):
    return "-".join(str(value) for value in section.values())


def at_angles(weight, labels, angles, seed=3):
    """Embeddings of several lengths, at these angles from the weights of their speakers."""
    own = torch.nn.functional.normalize(weight[labels].detach(), dim=1)
    across = draw(*own.shape, seed=seed).to(own)
    across = torch.nn.functional.normalize(across - (across * own).sum(dim=1, keepdim=True) * own, dim=1)
    angles = torch.as_tensor(angles, dtype=own.dtype)[:, None]
    lengths = torch.linspace(0.5, 3, len(angles), dtype=own.dtype)[:, None]
    return lengths * (torch.cos(angles) * own + torch.sin(angles) * across)


@pytest.mark.parametrize("batch, dim, speakers", [(5, 7, 4), (1, 3, 2), (6, 2, 5), (3, 3, 3), (4, 5, 1)])
@pytest.mark.parametrize("section", SECTIONS, ids=show)
def test_values_and_gradients_are_those_of_the_equation(section, batch, dim, speakers):
    labels = torch.arange(batch) * 3 % speakers
    assert_equals_its_equation(section, build(section, speakers, dim), draw(batch, dim), labels, 1)


@pytest.mark.parametrize("section", SECTIONS[1:], ids=show)
def test_values_and_gradients_are_those_of_the_equation_in_every_branch(section):
    """Angles in each of the fifths, quarters, thirds of the half circle, and on both sides of pi - m."""
    beside_branches = [math.pi - margin + side for margin in (0.1, 0.5, 1.0, 1.5) for side in (-0.02, 0.02)]
    angles = np.concatenate([(np.arange(20) + 0.4) * math.pi / 20, beside_branches])
    labels = torch.arange(len(angles)) % 3
    loss = build(section, num_speakers=3, dim=4)
    embeddings = at_angles(loss.weight_CD, labels, angles)
    assert_equals_its_equation(section, loss, embeddings, labels, 1)


@pytest.mark.parametrize("detach", [False, True])
def test_the_dynamic_margin_is_detached_when_told_so(detach):
    """d loss / d phi is the same; d phi / d cos is 1 + m_i by eq. (9), and 1 when the margin is a constant."""
    section = {**DAM, "detach_margin": detach}
    loss, labels = build(section, num_speakers=3, dim=5), torch.tensor([0])
    embeddings = at_angles(loss.weight_CD, labels, [1.1]).requires_grad_()
    if not detach:
        assert_equals_its_equation(section, loss, embeddings.detach(), labels, 1)
        return
    # AM-softmax with the margin that eq. (8) gives this sample: the same value, and the gradient of a constant margin
    margin = 0.3 * math.exp(1 - math.cos(1.1)) / 1.5
    fixed = {"name": "am_softmax", "margin": margin, "scale": 6.0}
    constant = build(fixed, num_speakers=3, dim=5)
    assert_equals_its_equation(fixed, constant, embeddings.detach(), labels, 1)
    value, expected = loss(embeddings, labels), constant(embeddings, labels)
    assert value.item() == pytest.approx(expected.item(), rel=1e-12)
    got, wanted = (torch.autograd.grad(v, embeddings)[0] for v in (value, expected))
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)


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


def dense_angles(branch):
    """The half circle in steps of 1e-4, and much finer around 0, the branch and pi."""
    fine = np.concatenate([sign * np.geomspace(1e-9, 1e-2, 2000) for sign in (-1, 1)])
    angles = np.concatenate(
        [np.arange(0, math.pi, 1e-4), *(centre + fine for centre in (0, branch, math.pi)), [branch]]
    )
    return np.unique(np.clip(angles, 0, math.pi))


@pytest.mark.parametrize("dtype, rounding", [(torch.float32, 4e-7), (torch.float64, 1e-14)])
@pytest.mark.parametrize("margin", [round(0.1 * tenths, 1) for tenths in range(1, 16)])
def test_the_angular_margins_target_logit_never_rises_with_the_angle(margin, dtype, rounding):
    loss = build({"name": "aam_softmax", "margin": margin})
    angles = dense_angles(math.pi - margin)
    logit = loss.add_margin(torch.from_numpy(np.cos(angles)).to(dtype))
    assert logit.diff().max().item() <= rounding
    assert logit[-1] < logit[0] - 1
    # It is the equation's wherever float32 resolves the sine; the margin's own rounding decides at the branch alone.
    clear = (np.abs(angles - (math.pi - margin)) > 1e-3) & (np.sin(angles) > 1e-3)
    expected = np.array([aam(angle, margin) for angle in angles[clear]])
    np.testing.assert_allclose(logit[torch.from_numpy(clear)].double().numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("section", SECTIONS[1:], ids=show)
def test_no_loss_falls_as_the_embedding_turns_from_its_speaker(section):
    """The other speaker's weight is across the plane of the turn, so that the target's logit alone moves."""
    loss = build(section, num_speakers=2, dim=3)
    with torch.no_grad():
        loss.weight_CD.copy_(torch.eye(3, dtype=torch.float64)[:2])
    theta = torch.linspace(0, math.pi, 401, dtype=torch.float64)
    turning = torch.stack([torch.cos(theta), torch.zeros_like(theta), torch.sin(theta)], dim=1)
    values = torch.stack([loss(x[None], torch.tensor([0])) for x in turning])
    assert values.diff().min() >= -1e-12
    assert values[-1] > values[0]
