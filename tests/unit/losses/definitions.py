"""The papers' equations written out number by number in float64, and their gradients by central differences.

P1: 'Dynamic Margin Softmax Loss'; P2: 'In defence of metric learning'. x, W are lists of vectors, vectors lists of
numbers; speakers[j][i] is utterance i of speaker j.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from spk.losses import LOSSES

STEP = 1e-5


def dot(a, b):
    return sum(p * q for p, q in zip(a, b, strict=True))


def length(a):
    return math.sqrt(dot(a, a))


def cosine(a, b):
    return dot(a, b) / (length(a) * length(b))


def squared_distance(a, b):
    return sum((p - q) ** 2 for p, q in zip(a, b, strict=True))


def direction(a):
    return [p / length(a) for p in a]


def mean(vectors):
    return [sum(column) / len(vectors) for column in zip(*vectors, strict=True)]


def minus_log_share(own, others):
    """-log( e^own / (e^own + sum of e^others) )."""
    top = max([own, *others])
    return top + math.log(sum(math.exp(value - top) for value in [own, *others])) - own


def angle(a, b):
    """Of two vectors; unlike the arccosine of their cosine, right at 0 and pi as well."""
    a, b = direction(a), direction(b)
    return 2 * math.atan2(math.sqrt(squared_distance(a, b)), length([p + q for p, q in zip(a, b, strict=True)]))


# Classification


def softmax(x, y, W, b):
    """Eq. (1) of P1."""
    total = 0.0
    for x_i, y_i in zip(x, y, strict=True):
        logits = [dot(W_j, x_i) + b_j for W_j, b_j in zip(W, b, strict=True)]
        total += minus_log_share(logits[y_i], logits[:y_i] + logits[y_i + 1 :])
    return total / len(x)


def margin_softmax(x, y, W, phi, s=None):
    """Eq. (3) and (6) of P1: phi is the target's function of the angle, s the scale, the embedding's length if none."""
    total = 0.0
    for x_i, y_i in zip(x, y, strict=True):
        scale = length(x_i) if s is None else s
        others = [scale * cosine(x_i, W_j) for j, W_j in enumerate(W) if j != y_i]
        total += minus_log_share(scale * phi(angle(x_i, W[y_i])), others)
    return total / len(x)


def nsl(theta):
    return math.cos(theta)


def a_softmax(theta, m=4, annealing=0.0):
    """Eq. (4) of P1, mixed with cos(theta) by (lambda cos + psi) / (1 + lambda)."""
    k = min(int(theta * m / math.pi), m - 1)
    psi = (-1) ** k * math.cos(m * theta) - 2 * k
    return (annealing * math.cos(theta) + psi) / (1 + annealing)


def am(theta, m=0.2):
    """Eq. (5) of P1."""
    return math.cos(theta) - m


def aam(theta, m=0.2):
    """Eq. (4) of P2; past pi, where the cosine would rise again, cos(theta) - m sin(m)."""
    return math.cos(theta + m) if theta + m <= math.pi else math.cos(theta) - m * math.sin(m)


def dam(theta, m=0.2, control=2.0):
    """Eq. (7) to (9) of P1."""
    return math.cos(theta) - m * math.exp(1 - math.cos(theta)) / control


# Metric learning


def contrastive(speakers, m=1.0):
    """Chopra et al.: the mean d+^2 and the mean max(0, m - d-)^2, half each."""
    unit = [[direction(x) for x in speaker] for speaker in speakers]
    positive, negative = [], []
    for j, one in enumerate(unit):
        for k, other in enumerate(unit):
            square = squared_distance(one[0], other[1])
            if j == k:
                positive.append(square)
            else:
                negative.append(max(0.0, m - math.sqrt(square)) ** 2)
    return 0.5 * sum(positive) / len(positive) + 0.5 * sum(negative) / len(negative)


def triplet(speakers, m=0.2, negatives=None):
    """Eq. (5) of P2. negatives[j] is the speaker of anchor j's negative; without them, the nearest one."""
    unit = [[direction(x) for x in speaker] for speaker in speakers]
    total = 0.0
    for j, (anchor, positive) in enumerate(unit):
        squares = {k: squared_distance(anchor, unit[k][1]) for k in range(len(unit)) if k != j}
        negative = min(squares.values()) if negatives is None else squares[negatives[j]]
        total += max(0.0, squared_distance(anchor, positive) - negative + m)
    return total / len(unit)


def against_prototypes(speakers, similarity):
    """Eq. (6) and (8) of P2: the last utterance of each speaker against the means of all speakers' others."""
    prototypes = [mean(speaker[:-1]) for speaker in speakers]
    total = 0.0
    for j, speaker in enumerate(speakers):
        logits = [similarity(speaker[-1], c_k) for c_k in prototypes]
        total += minus_log_share(logits[j], logits[:j] + logits[j + 1 :])
    return total / len(speakers)


def prototypical(speakers):
    """Eq. (7) of P2."""
    return against_prototypes(speakers, lambda x, c: -squared_distance(x, c))


def angular_prototypical(speakers, w, b):
    """Eq. (13) of P2."""
    return against_prototypes(speakers, lambda x, c: w * cosine(x, c) + b)


def ge2e(speakers, w, b, form="softmax"):
    """Eq. (9) to (12) of P2, the mean over all utterances; the contrast form: eq. (7) of Wan et al."""
    terms = []
    for j, speaker in enumerate(speakers):
        for i, x_ji in enumerate(speaker):
            own_centroid = mean([x for m, x in enumerate(speaker) if m != i])
            own = w * cosine(x_ji, own_centroid) + b
            others = [w * cosine(x_ji, mean(other)) + b for k, other in enumerate(speakers) if k != j]
            if form == "softmax":
                terms.append(minus_log_share(own, others))
            else:
                terms.append(1 - sigmoid(own) + max(map(sigmoid, others), default=0.0))
    return sum(terms) / len(terms)


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


# A built loss and its definition


def build(section, num_speakers=4, dim=7, utterances=2, seed=1):
    """The loss of a config section, in float64, with a bias that is not zero."""
    torch.manual_seed(seed)
    loss = LOSSES.build(
        "loss", section, embedding_dim=dim, num_speakers=num_speakers, utterances_per_speaker=utterances
    ).double()
    for name, parameter in loss.named_parameters():
        if name.endswith("classifier.bias"):
            torch.nn.init.normal_(parameter)
    return loss


def parameters_of(loss):
    """What a built loss has learnt so far, in the words of the equations: W, b, w."""
    if hasattr(loss, "classifier"):
        return {"W": loss.classifier.weight.detach().numpy(), "b": loss.classifier.bias.detach().numpy()}
    if hasattr(loss, "weight_CD"):
        return {"W": loss.weight_CD.detach().numpy()}
    if hasattr(loss, "similarity"):
        return {"w": loss.similarity.scale.detach().numpy(), "b": loss.similarity.bias.detach().numpy()}
    return {}


PHI = {"nsl": nsl, "a_softmax": a_softmax, "am_softmax": am, "aam_softmax": aam, "dam_softmax": dam}


def define(section, x, y, utterances, parameters):
    """The value of the loss that a config section names, by its equation.

    Arrays: x [B, D], y [B], and the `parameters` of `parameters_of`.
    """
    arguments = dict(section)
    name = arguments.pop("name")
    scale = arguments.pop("scale", 30.0)
    if "margin" in arguments:
        arguments["m"] = arguments.pop("margin")
    parameters = {key: value.tolist() for key, value in parameters.items()}
    x, y = x.tolist(), y.tolist()
    speakers = [x[i : i + utterances] for i in range(0, len(x), utterances)]
    if name == "softmax":
        return softmax(x, y, **parameters)
    if name in PHI:
        arguments.pop("detach_margin", None)
        s = None if name == "a_softmax" else scale
        return margin_softmax(x, y, parameters["W"], lambda theta: PHI[name](theta, **arguments), s)
    if name == "triplet":
        for key in ("mining", "hardest"):
            arguments.pop(key, None)
        return triplet(speakers, **arguments)
    if name in ("contrastive", "prototypical"):
        return {"contrastive": contrastive, "prototypical": prototypical}[name](speakers, **arguments)
    if name == "ge2e":
        return ge2e(speakers, **parameters, **arguments)
    assert name == "angular_prototypical"
    return angular_prototypical(speakers, **parameters)


def slope(function, at):
    """The gradient of a function of one array by central differences."""
    gradient = np.zeros_like(at)
    for index in np.ndindex(at.shape):
        ends = []
        for step in (STEP, -STEP):
            moved = at.copy()
            moved[index] += step
            ends.append(function(moved))
        gradient[index] = (ends[0] - ends[1]) / (2 * STEP)
    return gradient


def assert_equals_its_equation(section, loss, x, y, utterances):
    """Value, gradient of the embeddings, and gradients of what the loss learns."""
    parameters = parameters_of(loss)
    x_leaf = x.clone().requires_grad_()
    value = loss(x_leaf, y)
    assert value.shape == ()
    assert value.dtype == torch.float64
    np.testing.assert_allclose(value.item(), define(section, x, y, utterances, parameters), rtol=1e-10, atol=1e-12)
    value.backward()
    expected = slope(lambda moved: define(section, moved, y, utterances, parameters), x.numpy())
    np.testing.assert_allclose(x_leaf.grad.numpy(), expected, rtol=1e-6, atol=1e-8)
    for name, array in parameters.items():
        expected = slope(lambda moved, name=name: define(section, x, y, utterances, {**parameters, name: moved}), array)
        np.testing.assert_allclose(gradient_of(loss, name), expected, rtol=1e-6, atol=1e-8, err_msg=name)


def gradient_of(loss, name):
    """The gradient of W, w or b of the equations. That of w is what its parameter got over how w moves with it."""
    if name == "w":
        raw = loss.similarity.raw_scale
        with torch.no_grad():
            start = raw.clone()
            ends = [(raw.copy_(start + step), loss.similarity.scale.item())[1] for step in (STEP, -STEP)]
            raw.copy_(start)
        return raw.grad.item() / ((ends[0] - ends[1]) / (2 * STEP))
    if hasattr(loss, "classifier"):
        return {"W": loss.classifier.weight, "b": loss.classifier.bias}[name].grad.numpy()
    return (loss.weight_CD if name == "W" else loss.similarity.bias).grad.numpy()


def draw(num_items, dim, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_items, dim, generator=generator, dtype=torch.float64)
