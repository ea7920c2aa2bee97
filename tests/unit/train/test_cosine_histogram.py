"""Counts of the cosines between crops and their speakers' weights, against numpy's histogram of cosines by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spk.losses import LOSSES
from spk.train.cosine_histogram import NUM_BINS, CosineHistogram

CPU = torch.device("cpu")


def loss_of(name: str, **options: object) -> torch.nn.Module:
    return LOSSES.build("loss", {"name": name, **options}, embedding_dim=5, num_speakers=7, utterances_per_speaker=1)


@pytest.mark.parametrize("name", ["nsl", "a_softmax", "am_softmax", "aam_softmax", "dam_softmax"])
def test_counts_are_those_of_the_cosines_without_a_margin(name):
    generator = torch.Generator().manual_seed(3)
    loss = loss_of(name)
    histogram = CosineHistogram(loss, CPU)
    expected = np.zeros(NUM_BINS, dtype=int)
    for _ in range(3):
        embeddings = torch.randn(50, 5, generator=generator)
        labels = torch.randint(7, (50,), generator=generator)
        loss(embeddings, labels)
        histogram.add()
        rows = loss.weight_CD.detach()[labels].double()
        cosines = (embeddings * rows).sum(dim=1) / embeddings.norm(dim=1) / rows.norm(dim=1)
        expected += np.histogram(cosines.numpy(), bins=NUM_BINS, range=(-1, 1))[0]
    assert expected.sum() == 150 and np.count_nonzero(expected) > 20
    kept = histogram.state()
    assert histogram.take() == expected.tolist()
    assert sum(histogram.take()) == 0
    histogram.load(kept)
    assert histogram.take() == expected.tolist()


def test_the_ends_of_the_range_are_within_its_bins():
    loss = loss_of("am_softmax")
    histogram = CosineHistogram(loss, CPU)
    loss.target_cosines = torch.tensor([-1.0, 1.0, 1.0000001, -1.0000001, 0.0])
    histogram.add()
    counts = histogram.take()
    assert (counts[0], counts[NUM_BINS // 2], counts[-1]) == (2, 1, 2)


@pytest.mark.parametrize("name", ["softmax", "angular_prototypical", "softmax_angular_prototypical"])
def test_losses_without_cosines_to_speakers_have_no_parts(name):
    assert not CosineHistogram(loss_of(name), CPU).parts


def test_the_part_of_a_sum_is_found():
    loss = loss_of("sum", first="dam_softmax", second="angular_prototypical")
    assert len(CosineHistogram(loss, CPU).parts) == 1
