"""Embeddings: of crops where the protocol says, and the same whatever the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spk.config import EvaluationConfig
from spk.data.ark import FeatureReader
from spk.embed.embeddings import crop_starts, embed, length_batches
from spk.embed.write import write_embeddings
from spk.errors import InputError
from spk.nets.embedder import build_embedder

LENGTHS = [30, 55, 41, 7, 98, 55]


@pytest.fixture
def reader(tmp_path):
    random = np.random.default_rng(0)
    matrices = [random.normal(size=(length, 40)).astype(np.float32) for length in LENGTHS]
    write_embeddings(str(tmp_path / "feats"), [f"u{index}" for index in range(len(LENGTHS))], matrices)
    return FeatureReader(tmp_path / "feats.scp")


@pytest.fixture(scope="module")
def embedder():
    torch.manual_seed(0)
    return build_embedder("instance", {"name": "fast_resnet34", "channels": 0.25, "embedding_dim": 6}, num_bins=40)


@pytest.mark.parametrize("batch_frames", [1, 100, 10_000])
def test_whole_utterances_embed_as_each_alone_whatever_the_batch(embedder, reader, batch_frames):
    embeddings = embed(embedder, reader, LENGTHS, EvaluationConfig(), batch_frames=batch_frames)
    with torch.no_grad():
        alone = [embedder.eval()(torch.from_numpy(reader.whole(i))[None])[0].numpy() for i in range(len(LENGTHS))]
    np.testing.assert_allclose(embeddings, alone, atol=1e-5)


def test_crops_are_embedded_at_regular_intervals_and_short_utterances_repeat(embedder, reader):
    evaluation = EvaluationConfig(crops=3, crop_frames=40)
    embeddings = embed(embedder, reader, LENGTHS, evaluation, batch_frames=100)
    assert embeddings.shape == (len(LENGTHS), 3, 6)
    for index, length in enumerate(LENGTHS):
        whole = reader.whole(index)
        for crop, start in enumerate(np.linspace(0, max(0, length - 40), 3).astype(int)):
            frames = whole[np.arange(start, start + 40) % length]
            with torch.no_grad():
                expected = embedder.eval()(torch.from_numpy(frames)[None])[0].numpy()
            np.testing.assert_allclose(embeddings[index, crop], expected, atol=1e-5)


def test_crop_starts_by_hand():
    evaluation = EvaluationConfig(crops=4, crop_frames=400)
    np.testing.assert_array_equal(crop_starts(500, evaluation), [0, 33, 66, 100])
    np.testing.assert_array_equal(crop_starts(300, evaluation), [0, 0, 0, 0])


def test_batches_hold_every_utterance_once_and_keep_their_bound():
    lengths = np.random.default_rng(1).integers(1, 500, size=300)
    batches = list(length_batches(lengths, 1000))
    assert sorted(np.concatenate(batches)) == list(range(300))
    assert all(len(batch) * lengths[batch].max() <= 1000 or len(batch) == 1 for batch in batches)


def test_long_utterances_and_such_as_none_is_like_are_embedded_alone():
    lengths = np.array([240, 600, 250, 90, 245, 255, 260])  # 600: but one more would fit; 260: three more
    batches = [batch.tolist() for batch in length_batches(lengths, 1200)]
    assert batches == [[1], [6, 5, 2, 4], [0], [3]]


def test_an_embedding_that_is_not_finite_names_the_utterance(embedder, tmp_path):
    matrices = [np.zeros((30, 40), np.float32), np.full((30, 40), np.nan, np.float32)]
    write_embeddings(str(tmp_path / "feats"), ["good", "bad"], matrices)
    with pytest.raises(InputError, match=r"^bad: its embedding is not finite"):
        embed(embedder, FeatureReader(tmp_path / "feats.scp"), [30, 30], EvaluationConfig())
