"""Embed the utterances of a feature reader: whole, or K crops each, in batches of like length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from spk.config import EvaluationConfig
from spk.data.ark import FeatureReader
from spk.data.read_ahead import ask_ahead, read_ahead
from spk.errors import InputError
from spk.nets.embedder import Embedder

# Values (frames times bins) of a batch, padding included. On a CPU larger batches leave its cache, and utterances one
# by one are faster then (tests/benchmarks/extraction.py).
VALUES_ON_CPU = 80_000
FEWEST = 4  # utterances of a batch; fewer long ones gain less by each other than masks and the cache cost
LEAST_OF_LONGEST = 0.8  # an utterance with less of the frames of its batch's longest would cost more than one by itself
WHOLE_FRAMES = 16  # a batch's length is a multiple: a convolution over a length not met before costs a few milliseconds
FRAMES_ON_GPU = 32_000  # fewer than a training batch has


def frames_of_batch(device: torch.device, num_bins: int) -> int:
    """How many frames a batch holds where nobody says."""
    return max(1, VALUES_ON_CPU // num_bins) if device.type == "cpu" else FRAMES_ON_GPU


def length_batches(num_frames: np.ndarray, batch_frames: int) -> Iterator[np.ndarray]:
    """Indices grouped so that lengths in a batch are alike and its padded frames stay under the bound."""
    order = np.argsort(num_frames, kind="stable")[::-1]
    first = 0
    while first < len(order):
        longest = int(num_frames[order[first]])
        count = batch_frames // max(1, longest)
        count = count if count >= FEWEST else 1
        count = np.count_nonzero(num_frames[order[first : first + count]] >= LEAST_OF_LONGEST * longest)
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
    batch_frames: int | None = None,
    progress: Callable[[int], None] = lambda count: None,
) -> np.ndarray:
    """Embeddings of all utterances of `reader`, in its order: float32 [U, D], or [U, K, D] when K crops are asked for.

    An utterance shorter than a crop, or than what the network needs, is repeated to that length. Batches are a function
    of the lengths alone; by default they hold `frames_of_batch`. On a GPU the next is read meanwhile. Raises
    InputError naming the utterance when an embedding is not finite.
    """
    was_training = embedder.training
    embedder.eval().to(device)
    device = torch.device(device)
    num_frames = np.asarray(num_frames, dtype=np.int64)
    reader.check_num_frames(np.arange(len(num_frames)), num_frames)
    result: np.ndarray | None = None
    effective = np.full_like(num_frames, evaluation.crop_frames * evaluation.crops)
    if not evaluation.crops:
        effective = np.maximum(num_frames, embedder.min_frames)

    def read(batch: np.ndarray) -> tuple[np.ndarray, torch.Tensor, torch.Tensor | None]:
        """The batch, its features [N, T, F] and how many frames of each count, where they differ."""
        if evaluation.crops:
            starts = np.concatenate([crop_starts(count, evaluation) for count in num_frames[batch]])
            features = reader.crops(np.repeat(batch, evaluation.crops), starts, evaluation.crop_frames)
            lengths = None
        else:
            # Frames past an utterance's end are its first again: the repetition of what is too short, and else masked.
            longest = int(effective[batch].max())
            if len(batch) > 1:
                longest = -(-longest // WHOLE_FRAMES) * WHOLE_FRAMES
            features = reader.crops(batch, np.zeros_like(batch), longest)
            lengths = torch.from_numpy(effective[batch]) if effective[batch].min() < longest else None
        tensor = torch.from_numpy(features)
        return batch, tensor.pin_memory() if device.type == "cuda" else tensor, lengths

    def ask_for(batch: np.ndarray) -> None:
        if isinstance(reader, FeatureReader):
            reader.will_need(batch, np.zeros_like(batch), int(num_frames[batch].max()), num_frames[batch])

    if batch_frames is None:
        batch_frames = frames_of_batch(device, reader.dim)
    batches = length_batches(effective, batch_frames)
    # On a CPU a thread would take more of the core that computes than it spares it.
    on_cpu = device.type == "cpu"
    ready = map(read, ask_ahead(ask_for, batches)) if on_cpu else read_ahead(read, batches)
    for batch, features, lengths in ready:
        embeddings = embedder(
            features.to(device, non_blocking=True),
            None if lengths is None else lengths.to(device),
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
