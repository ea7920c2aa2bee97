"""Every network learns one batch; registering one gets it tested."""

from __future__ import annotations

import pytest
import torch

from spk.losses import LOSSES
from spk.nets import NETWORKS
from spk.nets.embedder import build_embedder

NUM_SPEAKERS, UTTERANCES, FRAMES_MORE, BINS = 3, 2, 16, 40


@pytest.mark.parametrize("loss_name", ["am_softmax", "angular_prototypical"])
@pytest.mark.parametrize("network", list(NETWORKS))
def test_every_network_learns_one_batch(network, loss_name):
    torch.manual_seed(0)
    section = {"name": network, "channels": 0.125, "embedding_dim": 16}
    embedder = build_embedder("instance", section, num_bins=BINS).train()
    given = {"embedding_dim": 16, "num_speakers": NUM_SPEAKERS, "utterances_per_speaker": UTTERANCES}
    loss = LOSSES.build("loss", {"name": loss_name}, **given)
    parameters = dict([*embedder.named_parameters(), *loss.named_parameters()])
    optimizer = torch.optim.Adam(parameters.values(), lr=1e-3)
    features = torch.randn(NUM_SPEAKERS * UTTERANCES, embedder.min_frames + FRAMES_MORE, BINS)
    labels = torch.arange(NUM_SPEAKERS).repeat_interleave(UTTERANCES)
    values = []
    for _ in range(21):  # the last value is the one after 20 steps
        value = loss(embedder(features), labels)
        values.append(value.item())
        optimizer.zero_grad()
        value.backward()
        for name, parameter in parameters.items():
            assert parameter.grad.isfinite().all(), name
        optimizer.step()
    assert values[-1] < values[0]
