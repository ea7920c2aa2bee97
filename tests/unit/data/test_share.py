"""Shares of batches: together the batch, once each; crops and what is drawn for them are those of the whole batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spk.data.augmentation_plan import Drawing
from spk.data.crops import CropDataset
from spk.data.noise_dir import NoiseSet
from spk.data.online_augmentation import OnlineAugmentation
from spk.data.sampler import SpeakerSampler
from spk.data.share import WHOLE, Share


def shares(size: int, utterances_per_speaker: int) -> list[Share]:
    return [Share(rank, size, utterances_per_speaker) for rank in range(size)]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("utterances", [1, 2, 3])
def test_shares_are_whole_speakers_and_cover_the_batch_once(size, utterances):
    num_crops = 5 * utterances
    speakers = np.arange(num_crops) // utterances
    parts = [speakers[share.rows(num_crops)] for share in shares(size, utterances)]
    assert np.concatenate(parts).tolist() == speakers.tolist()
    of_speakers = [len(np.unique(part)) for part in parts]
    assert [len(part) for part in parts] == [utterances * count for count in of_speakers]
    assert max(of_speakers) - min(of_speakers) <= 1
    for share in shares(size, utterances):
        assert share.counts(num_crops) == [len(part) for part in parts]


class Reader:
    """Features that tell the utterance and the frame."""

    def check_num_frames(self, indices, expected):
        assert len(indices) == len(expected)

    def crops(self, indices, starts, length):
        frames = 1000 * np.asarray(indices)[:, None] + np.asarray(starts)[:, None] + np.arange(length)
        return frames[:, :, None].astype(np.float32)


@pytest.mark.parametrize("size", [2, 3])
def test_the_crops_of_the_shares_are_those_of_the_batch(size):
    labels = np.arange(20) // 4
    num_frames = np.full(20, 500)
    sampler = SpeakerSampler(labels, num_speakers_per_batch=5, utterances_per_speaker=2, seed=3)
    whole = CropDataset(Reader(), num_frames, labels, 30, WHOLE)
    parts = [CropDataset(Reader(), num_frames, labels, 30, share) for share in shares(size, 2)]
    for batch in [next(sampler) for _ in range(4)]:
        features, expected, _ = whole[batch]
        read = [part[batch] for part in parts]
        assert torch.equal(torch.cat([features for features, _, _ in read]), features)
        assert all(torch.equal(found, expected) for _, found, _ in read)


def test_what_is_drawn_for_the_crops_of_a_share_is_what_is_drawn_for_them_in_the_batch():
    noises = NoiseSet([f"noise{index}.wav" for index in range(30)], [float(index + 1) for index in range(30)])
    augmentation = OnlineAugmentation(Drawing(noises=noises, babble=noises), probability=0.7)
    sampler = SpeakerSampler(np.arange(20) // 4, num_speakers_per_batch=5, utterances_per_speaker=2, seed=3)
    for batch in [next(sampler) for _ in range(4)]:
        whole = augmentation.draw(batch, 2.0)
        parts = [augmentation.draw(batch, 2.0, share.rows(10)) for share in shares(3, 2)]
        assert [drawn for part in parts for drawn in part] == whole
        assert len({str(drawn) for drawn in whole}) > 5
