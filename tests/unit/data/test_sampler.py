"""Batches: distinct speakers, nothing dropped, the same after a resume."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spk.data.sampler import SpeakerSampler, concatenated_ranges
from spk.errors import InputError


def speakers_of(counts):
    return np.repeat(np.arange(len(counts)), counts)


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(1, 12), min_size=4, max_size=12),
    num_speakers=st.integers(1, 4),
    per_speaker=st.integers(1, 3),
    seed=st.integers(0, 5),
)
def test_every_batch_holds_distinct_speakers_with_their_own_utterances(counts, num_speakers, per_speaker, seed):
    speakers = speakers_of(counts)
    sampler = SpeakerSampler(
        speakers, num_speakers_per_batch=num_speakers, utterances_per_speaker=per_speaker, seed=seed
    )
    for batch in itertools.islice(sampler, 20):
        by_speaker = speakers[batch.utterances].reshape(num_speakers, per_speaker)
        assert (by_speaker == by_speaker[:, :1]).all()
        assert len(set(by_speaker[:, 0])) == num_speakers


def test_over_epochs_every_utterance_is_used_alike():
    counts = np.random.default_rng(3).integers(5, 60, size=50)
    speakers = speakers_of(counts)
    sampler = SpeakerSampler(speakers, num_speakers_per_batch=8, seed=1)
    used = np.zeros(len(speakers), dtype=int)
    for batch in sampler:
        if batch.epoch == 10:
            break
        np.add.at(used, batch.utterances, 1)
    assert used.sum() >= 10 * len(speakers) - 8 * counts.max()  # only what the tenth epoch leaves over is still to come
    assert used.max() <= 10
    assert np.mean(used == 10) > 0.95


def test_no_more_than_the_most_utterances_of_a_speaker_in_an_epoch():
    speakers = speakers_of([100, 100, 3, 3])
    sampler = SpeakerSampler(speakers, num_speakers_per_batch=2, max_utterances_per_speaker=10, seed=1)
    first_epoch = np.concatenate([batch.utterances for batch in itertools.takewhile(lambda b: b.epoch == 0, sampler)])
    assert (np.bincount(speakers[first_epoch]) <= 10).all()
    assert len(set(first_epoch)) == len(first_epoch)


def test_a_speaker_that_cannot_be_used_up_does_not_pile_up():
    speakers = speakers_of([500, 5, 5])
    sampler = SpeakerSampler(speakers, num_speakers_per_batch=3, seed=1)
    for batch in itertools.islice(sampler, 400):
        assert len(sampler.state_after(batch)["carried"]) <= 1000


def test_a_resumed_sampler_gives_the_batches_of_one_that_never_stopped():
    speakers = speakers_of([7, 9, 11, 13, 5])
    whole = SpeakerSampler(speakers, num_speakers_per_batch=3, utterances_per_speaker=2, seed=4)
    for stop in (0, 3, 7, 12):
        batches = list(itertools.islice(whole, 30))
        first = SpeakerSampler(speakers, num_speakers_per_batch=3, utterances_per_speaker=2, seed=4)
        drawn = list(itertools.islice(first, stop + 6))  # a loader that runs ahead
        state = first.state_after(drawn[stop])
        second = SpeakerSampler(speakers, num_speakers_per_batch=3, utterances_per_speaker=2, seed=4)
        second.load_state_dict(state)
        for expected, got in zip(batches[stop + 1 :], second, strict=False):
            assert (expected.epoch, expected.position) == (got.epoch, got.position)
            np.testing.assert_array_equal(expected.utterances, got.utterances)
        whole = SpeakerSampler(speakers, num_speakers_per_batch=3, utterances_per_speaker=2, seed=4)


def test_a_speaker_with_too_few_utterances_is_reused_or_left_out_and_counted():
    speakers = speakers_of([1, 4, 4, 4])
    reusing = SpeakerSampler(speakers, num_speakers_per_batch=4, utterances_per_speaker=2, seed=1)
    assert list(reusing.reused_speakers) == [0]
    assert 0 in speakers[next(reusing).utterances]
    leaving = SpeakerSampler(
        speakers, num_speakers_per_batch=3, utterances_per_speaker=2, reuse_utterances=False, seed=1
    )
    assert list(leaving.left_out_speakers) == [0]
    for batch in itertools.islice(leaving, 10):
        assert 0 not in speakers[batch.utterances]


def test_more_speakers_than_there_are_is_refused_with_the_numbers():
    with pytest.raises(InputError, match=r"needs 5 distinct speakers .* only 4 "):
        SpeakerSampler(speakers_of([2, 2, 2, 2]), num_speakers_per_batch=5)


def test_concatenated_ranges_by_hand():
    np.testing.assert_array_equal(concatenated_ranges(np.array([2, 0, 3])), [0, 1, 0, 1, 2])
    assert len(concatenated_ranges(np.array([], dtype=int))) == 0
