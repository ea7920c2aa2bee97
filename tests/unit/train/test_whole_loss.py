"""A batch shared out to processes has the loss and the gradients that one process finds, whatever the objective."""

from __future__ import annotations

import pytest
import torch
from rank_processes import on_ranks
from torch.testing import assert_close

from spk.collectives import ALONE, Group
from spk.data.share import Share
from spk.losses import LOSSES
from spk.nets.embedder import build_embedder
from spk.nets.sync_batch_norm import synchronize_batch_norms
from spk.train.parallel import add_up_gradients
from spk.train.step import TrainingStep
from spk.train.trainer import set_number

NUM_SPEAKERS = 5  # of a batch: on 2 processes 2 and 3, on 3 processes 1, 2 and 2
OBJECTIVES = {name: {"name": name} for name in LOSSES} | {
    "ge2e contrast": {"name": "ge2e", "form": "contrast"},
    "triplet semi-hard": {"name": "triplet", "mining": "semi_hard", "margin": 1.0},
    "triplet rank": {"name": "triplet", "mining": "rank", "hardest": 0.5},
    "a_softmax annealed": {"name": "a_softmax", "annealing": 5.0},
    "sum with mining": {"name": "sum", "first": "aam_softmax", "second": {"name": "triplet"}},
}
CURRICULUM = {
    "aam_softmax": ("margin", 0.07),
    "triplet rank": ("probability", 0.4),
    "sum with mining": ("first.margin", 0.1),
}


def utterances_of(section: dict) -> int:
    """Of each speaker, as many as the objective can work with."""
    return 2 if section["name"] in ("contrastive", "triplet") or section.get("second") else 3


def gradients(
    group: Group, name: str, network: str = "xvector", sync: bool = True, parts: int = 1
) -> dict[str, torch.Tensor]:
    """The loss, every parameter's gradient and every running statistic of a step on this process's share of a batch."""
    section, size = OBJECTIVES[name], utterances_of(OBJECTIVES[name])
    share = Share(group.rank, group.size, size)
    torch.manual_seed(3)
    embedder = build_embedder("global", {"name": network, "embedding_dim": 6, "channels": 0.05}, num_bins=40)
    loss = LOSSES.build("loss", section, embedding_dim=6, num_speakers=9, utterances_per_speaker=size)
    if name in CURRICULUM:
        set_number(loss, *CURRICULUM[name])
    embedder, loss = embedder.double(), loss.double()
    if group.size > 1 and sync:
        synchronize_batch_norms(embedder, group)
    labels = torch.randperm(9)[:NUM_SPEAKERS].repeat_interleave(size)
    features = torch.randn(len(labels), 20, 40, dtype=torch.float64) + torch.randn(9, 1, 40)[labels]
    masked = torch.rand(features.shape) < 0.1
    rows = share.rows(len(labels))
    step = TrainingStep(embedder, loss, "float32", parts, group, share)
    value = step.forward_backward(features[rows], labels, masked[rows])
    add_up_gradients(group, embedder.parameters(), loss.parameters())
    found = {"loss": value.detach(), "torch's generator": torch.get_rng_state()}
    found |= {f"embedder.{key}": parameter.grad for key, parameter in embedder.named_parameters()}
    found |= {f"loss.{key}": parameter.grad for key, parameter in loss.named_parameters()}
    return found | {f"buffer {key}": value.clone() for key, value in embedder.named_buffers()}


CASES = [*((name, "xvector") for name in OBJECTIVES), ("softmax_angular_prototypical", "fast_resnet34")]


def all_gradients(group: Group) -> list[dict[str, torch.Tensor]]:
    return [*(gradients(group, *case) for case in CASES), gradients(group, "softmax", sync=False)]


def in_parts(group: Group) -> list[dict[str, torch.Tensor]]:
    return [gradients(group, *case, parts=2) for case in CASES]


@pytest.fixture(scope="module")
def alone() -> list[dict[str, torch.Tensor]]:
    return [gradients(ALONE, *case) for case in CASES]


@pytest.mark.parametrize("size", [2, 3])
def test_processes_have_the_loss_and_the_gradients_of_one_with_the_whole_batch(size, alone, tmp_path):
    for rank in on_ranks(all_gradients, size, tmp_path):
        *shared, unsynchronized = rank
        for case, whole, part in zip(CASES, alone, shared, strict=True):
            assert whole.keys() == part.keys()
            for name, expected in whole.items():
                assert_close(part[name], expected, rtol=1e-8, atol=1e-10, msg=lambda text: f"{case} {name}: {text}")  # noqa: B023
        # Batch statistics of each process's own share are others: the test would notice if they were not exchanged.
        own = alone[CASES.index(("softmax", "xvector"))]
        assert (unsynchronized["loss"] - own["loss"]).abs() > 1e-4


def test_parts_of_a_batch_are_the_same_for_one_process_and_two(tmp_path):
    for rank in on_ranks(in_parts, 2, tmp_path):
        for case, whole, part in zip(CASES, in_parts(ALONE), rank, strict=True):
            for name, expected in whole.items():
                assert_close(part[name], expected, rtol=1e-8, atol=1e-10, msg=lambda text: f"{case} {name}: {text}")  # noqa: B023
