"""Embed the utterances of a feature reader: whole, or K crops each, in batches of like length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from spk.config import EvaluationConfig
from spk.data.ark import FeatureReader
from spk.errors import InputError
from spk.nets.embedder import Embedder

BATCH_FRAMES = 8000  # frames of a batch, padding included: a bound on memory, and enough to keep the processor busy


def length_batches(num_frames: np.ndarray, batch_frames: int) -> Iterator[np.ndarray]:
    """Indices grouped so that lengths in a batch are alike and its padded frames stay under the bound."""
    order = np.argsort(num_frames, kind="stable")[::-1]
    first = 0
    while first < len(order):
        count = max(1, batch_frames // max(1, int(num_frames[order[first]])))
        yield order[first : first + count]
        first += count


def crop_starts(num_frames: int, evaluation: EvaluationConfig) -> np.ndarray:
    """First frames of the K crops, at regular intervals from the first to the last that fits (paper 2, section 3.4)."""
    room = max(0, num_frames - evaluation.crop_frames)
    return np.linspace(0, room, evaluation.crops).astype(np.int64)


@torch.inference_mode()
def embed(
    embedder: Embedder,
    reader: FeatureReader,
    num_frames: Sequence[int] | np.ndarray,
    evaluation: EvaluationConfig,
    *,
    device: torch.device | str = "cpu",
    batch_frames: int = BATCH_FRAMES,
    progress: Callable[[int], None] = lambda count: None,
) -> np.ndarray:
    """Embeddings of all utterances of `reader`, in its order: float32 [U, D], or [U, K, D] when K crops are asked for.

    An utterance shorter than a crop, or than what the network needs, is repeated to that length. Batches are a function
    of the lengths alone. Raises InputError naming the utterance when an embedding is not finite.
    """
    was_training = embedder.training
    embedder.eval().to(device)
    num_frames = np.asarray(num_frames, dtype=np.int64)
    reader.check_num_frames(np.arange(len(num_frames)), num_frames)
    result: np.ndarray | None = None
    effective = np.full_like(num_frames, evaluation.crop_frames * evaluation.crops)
    if not evaluation.crops:
        effective = np.maximum(num_frames, embedder.min_frames)
    for batch in length_batches(effective, batch_frames):
        if evaluation.crops:
            starts = np.concatenate([crop_starts(count, evaluation) for count in num_frames[batch]])
            features = reader.crops(np.repeat(batch, evaluation.crops), starts, evaluation.crop_frames)
            lengths = None
        else:
            lengths = effective[batch]
            features = np.zeros((len(batch), lengths.max(), reader.dim), dtype=np.float32)
            for row, index in enumerate(batch):
                whole = reader.whole(index)
                features[row, : lengths[row]] = np.resize(whole, (lengths[row], reader.dim))
        embeddings = embedder(
            torch.from_numpy(features).to(device),
            None if lengths is None else torch.from_numpy(lengths).to(device),
        )
        embeddings = embeddings.float().cpu().numpy()
        if evaluation.crops:
            embeddings = embeddings.reshape(len(batch), evaluation.crops, -1)
        if not np.isfinite(embeddings).all():
            bad = batch[~np.isfinite(embeddings).reshape(len(batch), -1).all(axis=1)][0]
            raise InputError(
                f"{reader.utterances[bad]}: its embedding is not finite; look at its features and at the model"
            )
        if result is None:
            result = np.empty((len(num_frames), *embeddings.shape[1:]), dtype=np.float32)
        result[batch] = embeddings
        progress(len(batch))
    embedder.train(was_training)
    if result is None:
        raise InputError("no utterance to embed")
    return result
