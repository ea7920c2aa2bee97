"""Batches: distinct speakers, every utterance used alike, nothing dropped, the same after a resume."""

from __future__ import annotations

import io
import itertools
import logging
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from spk.data.sampler import Shuffles, SpeakerSampler, concatenated_ranges, mixed, smallest
from spk.errors import InputError


def speakers_of(counts):
    return np.repeat(np.arange(len(counts)), counts)


def sampler_of(counts, num_speakers, per_speaker=1, most=None, **options):
    return SpeakerSampler(
        speakers_of(counts),
        num_speakers_per_batch=num_speakers,
        utterances_per_speaker=per_speaker,
        max_utterances_per_speaker=most,
        **options,
    )


def epochs_of(sampler, count):
    """The batches [B, N, M] of each of the next epochs."""
    shape = (-1, sampler.num_speakers_per_batch, sampler.utterances_per_speaker)
    batches = itertools.takewhile(lambda batch: batch.epoch < count, sampler)
    by_epoch = itertools.groupby(batches, lambda batch: batch.epoch)
    return [np.stack([batch.utterances for batch in epoch]).reshape(shape) for _, epoch in by_epoch]


def uses(epochs, num_utterances):
    return np.bincount(np.concatenate([epoch.reshape(-1) for epoch in epochs]), minlength=num_utterances)


def spread(used, speakers):
    """Most less fewest uses of each speaker's utterances."""
    return np.array([np.ptp(used[speakers == speaker]) for speaker in np.unique(speakers)])


@st.composite
def samplers(draw):
    """Any data and settings that are not refused, as (counts, arguments of SpeakerSampler)."""
    counts = draw(st.lists(st.integers(1, 14), min_size=2, max_size=9))
    per_speaker = draw(st.integers(1, 5))
    reuse = draw(st.booleans())
    usable = len(counts) if reuse else sum(count >= per_speaker for count in counts)
    if usable == 0:
        counts, usable = [*counts, 14], 1
    return counts, {
        "num_speakers_per_batch": draw(st.integers(1, usable)),
        "utterances_per_speaker": per_speaker,
        "max_utterances_per_speaker": draw(st.none() | st.integers(per_speaker, 15)),
        "reuse_utterances": reuse,
        "seed": draw(st.integers(0, 2**40)),
    }


@settings(max_examples=60, deadline=None)
@given(samplers())
def test_every_batch_holds_distinct_speakers_with_distinct_utterances_of_their_own(drawn):
    counts, arguments = drawn
    speakers, size = speakers_of(counts), arguments["utterances_per_speaker"]
    for epoch in epochs_of(SpeakerSampler(speakers, **arguments), 4):
        assert epoch.shape[1:] == (arguments["num_speakers_per_batch"], size)
        for batch in epoch:
            assert (speakers[batch] == speakers[batch[:, :1]]).all()
            assert len(set(speakers[batch[:, 0]])) == len(batch)
            for group in batch:
                if counts[speakers[group[0]]] >= size:
                    assert len(set(group)) == size


@settings(max_examples=60, deadline=None)
@given(samplers())
def test_at_any_batch_the_uses_of_a_speakers_utterances_differ_by_one_at_most(drawn):
    counts, arguments = drawn
    speakers = speakers_of(counts)
    used = np.zeros(len(speakers), dtype=int)
    for batch in itertools.islice(SpeakerSampler(speakers, **arguments), 40):
        np.add.at(used, batch.utterances, 1)
        assert spread(used, speakers).max() <= 1


@settings(max_examples=60, deadline=None)
@given(samplers())
def test_nothing_is_dropped_but_what_the_most_utterances_of_a_speaker_cut(drawn):
    counts, arguments = drawn
    arguments = {**arguments, "reuse_utterances": False}
    size, most = arguments["utterances_per_speaker"], arguments["max_utterances_per_speaker"] or 10**9
    counts = np.array([*counts, *[size] * arguments["num_speakers_per_batch"]])
    speakers = speakers_of(counts)
    sampler = SpeakerSampler(speakers, **arguments)
    offered = np.where(counts >= size, counts, 0)
    due = np.zeros(len(counts), dtype=int)
    for number, epoch in enumerate(epochs_of(sampler, 5), start=1):
        given_out = np.bincount(speakers[epoch.reshape(-1)], minlength=len(counts))
        assert (given_out <= most).all()
        due = np.where(offered >= most, most, due + offered) - given_out
        assert (due >= 0).all()
        waiting = np.minimum(due, most - given_out) >= size
        assert np.count_nonzero(waiting) < arguments["num_speakers_per_batch"], number


@settings(max_examples=60, deadline=None)
@given(samplers(), st.integers(0, 30), st.integers(0, 6))
def test_a_resumed_sampler_gives_the_batches_of_one_that_never_stopped(drawn, stop, ahead):
    counts, arguments = drawn
    speakers = speakers_of(counts)
    first = SpeakerSampler(speakers, **arguments)
    read = list(itertools.islice(first, stop + 1 + ahead))  # a loader that runs ahead
    file = io.BytesIO()
    torch.save(first.state_after(read[stop]), file)
    file.seek(0)
    second = SpeakerSampler(speakers, **arguments)
    second.load_state_dict(torch.load(file, weights_only=True))
    expected = itertools.islice(SpeakerSampler(speakers, **arguments), stop + 1, stop + 21)
    for one, other in zip(expected, second, strict=False):
        assert (one.epoch, one.position) == (other.epoch, other.position)
        np.testing.assert_array_equal(one.utterances, other.utterances)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 14), min_size=1, max_size=6),
    st.integers(1, 5),
    st.integers(0, 9),
    st.lists(st.integers(1, 7), min_size=1, max_size=8),
)
def test_a_sequence_is_one_shuffle_after_another_however_it_is_dealt(counts, size, seed, pieces):
    speakers = speakers_of(counts)
    shuffles = Shuffles(speakers, size, seed)
    # Whole shuffles and whole groups: sum(pieces) * size * count utterances of each speaker.
    counts = np.array(counts)
    total = sum(pieces) * size * counts
    whole = np.split(shuffles.deal(np.zeros_like(counts), total), np.cumsum(total)[:-1])
    for speaker, sequence in enumerate(whole):
        own = np.flatnonzero(speakers == speaker)
        assert (np.sort(sequence.reshape(-1, len(own)), axis=1) == own).all()
        if len(own) >= size:
            assert (np.diff(np.sort(sequence.reshape(-1, size), axis=1), axis=1) > 0).all()
    taken = np.zeros_like(counts)
    for piece in pieces:
        dealt = shuffles.deal(taken, np.full_like(counts, piece * size)).reshape(len(counts), -1)
        for speaker, sequence in enumerate(whole):
            begin = taken[speaker]
            np.testing.assert_array_equal(dealt[speaker], sequence[begin : begin + piece * size])
        taken = taken + piece * size


@pytest.mark.parametrize("size", [1, 2])
def test_every_order_of_a_shuffle_is_as_likely(size):
    speakers = speakers_of([4] * 24_000)
    sequence = Shuffles(speakers, size, 0).deal(np.full(24_000, 8), np.full(24_000, 4)).reshape(-1, 4)
    orders = Counter(map(tuple, sequence - sequence.min(axis=1, keepdims=True)))
    assert len(orders) == 24
    assert chisquare(list(orders.values())).pvalue > 0.01


def test_the_random_bits_are_those_of_splitmix64():
    # The published test vector: the first two outputs of the generator that begins at 0 and steps by the golden ratio.
    step = np.uint64(0x9E3779B97F4A7C15)
    assert [int(bits) for bits in mixed(np.array([0, step], dtype=np.uint64))] == [
        0xE220A8397B1DCDAF,
        0x6E789E6AA1B965F4,
    ]


@pytest.mark.parametrize(
    ("count", "per_speaker", "most", "lengths", "used"),
    [
        (5, 2, None, [2, 3] * 5, 10),  # 5 utterances are 2 groups and one utterance that waits
        (7, 5, None, [1, 1, 2, 1, 2] * 2, 10),
        (25, 1, 10, [10] * 10, 4),
        (25, 2, 10, [5] * 10, 4),
        (25, 5, 10, [2] * 10, 4),
        (3, 4, None, [1, 1, 1] * 2 + [1], None),  # 3 crops of an epoch make no group: the first waits for the second
    ],
)
def test_where_all_speakers_are_in_every_batch_all_utterances_are_used_equally(count, per_speaker, most, lengths, used):
    sampler = sampler_of([count] * 6, 6, per_speaker, most)
    epochs = epochs_of(sampler, len(lengths))
    assert [len(epoch) for epoch in epochs] == lengths
    if used is not None:
        assert (uses(epochs, 6 * count) == used).all()


@pytest.mark.parametrize("per_speaker", [1, 2, 5])
@pytest.mark.parametrize("most", [None, 10])
@pytest.mark.parametrize("corpus", ["like VoxCeleb1", "like VoxCeleb2"])
def test_over_ten_epochs_a_small_corpus_is_used_alike(corpus, most, per_speaker):
    random = np.random.default_rng(5)
    counts = {
        "like VoxCeleb1": np.clip(np.rint(4 + random.exponential(8, 121)), 5, 25),
        "like VoxCeleb2": np.clip(np.rint(random.gamma(4, 4.5, 300)), 5, 60),
    }[corpus].astype(int)
    speakers = speakers_of(counts)
    sampler = sampler_of(counts, 40 // per_speaker, per_speaker, most)
    epochs = epochs_of(sampler, 10)
    used = uses(epochs, len(speakers))
    assert spread(used, speakers).max() <= 1
    own = np.bincount(speakers, weights=used).astype(int)
    # Whoever has fewer than the most is short of its ten uses by what it is still due: less than a group, but for the
    # speakers (fewer than N) that were left when the last epoch ended.
    all_used = counts < (most or 10**9)
    due = 10 * counts - own
    assert (due[all_used] >= 0).all()
    assert np.count_nonzero(due[all_used] >= per_speaker) < 40 // per_speaker
    assert (used[all_used[speakers]] <= 10).all()
    if most is None:
        assert due.sum() < 0.01 * 10 * len(speakers)
    else:
        for epoch in epochs:
            own = np.bincount(speakers[epoch.reshape(-1)], minlength=len(counts))[~all_used]
            assert (own <= most).all()
            assert np.count_nonzero(own <= most - per_speaker) < 40 // per_speaker


@pytest.mark.parametrize("most", [None, 10])
def test_one_and_two_utterances_a_speaker_see_as_many_in_an_epoch_and_the_same_unless_some_are_cut(most):
    """Which ones the most utterances of a speaker leave for the next epoch depends on where the last one ended."""
    counts = np.random.default_rng(4).integers(6, 40, size=120)
    one, two = (epochs_of(sampler_of(counts, 40 // size, size, most), 6) for size in (1, 2))
    for first, second in zip(one, two, strict=True):
        assert abs(first.size - second.size) < 0.02 * first.size + 40
        if most is None:
            assert len(np.intersect1d(first, second)) > 0.93 * len(np.union1d(first, second))


def test_no_more_than_the_most_utterances_of_a_speaker_in_an_epoch_carried_ones_too():
    counts = [12, 12, 9, 3, 3]
    for epoch in epochs_of(sampler_of(counts, 4, most=10), 30):
        assert (np.bincount(speakers_of(counts)[epoch.reshape(-1)]) <= 10).all()


def test_a_speaker_that_cannot_be_used_up_is_in_every_batch_and_its_state_stays_small():
    sampler = sampler_of([500, 5, 5], 3)
    for number, batch in enumerate(itertools.islice(sampler, 400)):
        assert speakers_of([500, 5, 5])[batch.utterances].tolist().count(0) == 1
        assert batch.epoch == number // 5
    state = sampler.state_after(batch)
    assert state["taken"] == [79 * 5, 79 * 5, 79 * 5]
    assert state["due"] == [79 * 495, 0, 0]


def test_a_speaker_with_too_few_utterances_is_reused_or_left_out_and_counted():
    counts = [1, 4, 4, 4]
    speakers = speakers_of(counts)
    reusing = sampler_of(counts, 4, 2)
    assert list(reusing.reused_speakers) == [0]
    assert 0 in speakers[next(reusing).utterances]
    leaving = sampler_of(counts, 3, 2, reuse_utterances=False)
    assert list(leaving.left_out_speakers) == [0]
    for batch in itertools.islice(leaving, 10):
        assert 0 not in speakers[batch.utterances]


def test_a_reused_utterance_is_used_as_often_as_others():
    counts = [1, 2, 10, 10, 10, 10]
    epochs = epochs_of(sampler_of(counts, 2, 3), 60)
    used = uses(epochs, sum(counts))
    assert used.max() <= 60
    assert used.min() >= 57  # less than a group of 3 waits, and little is carried


def test_the_same_seed_gives_the_same_batches_and_another_seed_does_not():
    def of(seed):
        return np.concatenate([b.utterances for b in itertools.islice(sampler_of([9] * 8, 4, 2, seed=seed), 12)])

    np.testing.assert_array_equal(of(1), of(1))
    assert (of(1) != of(2)).any()


def test_each_epoch_logs_one_line_of_counts(caplog):
    # Speaker 0 has 12, of which 6 are left; 1 is left out; 2 and 3 have 5: one utterance waits, or, next time, none.
    sampler = sampler_of([12, 1, 5, 5], 3, 2, 6, reuse_utterances=False)
    with caplog.at_level(logging.INFO, "spk.data.sampler"):
        epochs_of(sampler, 2)
    first, second, _ = (record.getMessage() for record in caplog.records)
    assert first == (
        "epoch 0: 2 batches, 12 crops of 12 utterances of 3 speakers; carried to the next: 2 utterances of 2 speakers; "
        "left by max_utterances_per_speaker: 8 of 1; speakers with fewer than 2: 0 reused, 1 left out"
    )
    assert second.startswith("epoch 1: 3 batches, 18 crops of 16 utterances of 3 speakers; carried to the next: 0 ")
    caplog.clear()
    with caplog.at_level(logging.INFO, "spk.data.sampler"):
        epochs_of(sampler_of([1, 4, 4], 3, 2), 1)
    assert caplog.records[0].getMessage() == (
        "epoch 0: 1 batches, 6 crops of 5 utterances of 3 speakers; carried to the next: 12 utterances of 2 speakers; "
        "left by max_utterances_per_speaker: 0 of 0; speakers with fewer than 2: 1 reused, 0 left out"
    )


def test_more_speakers_than_there_are_is_refused_with_the_numbers():
    with pytest.raises(InputError, match=r"needs 5 distinct speakers .* only 4 "):
        sampler_of([2, 2, 2, 2], 5)
    with pytest.raises(InputError, match=r"needs 4 distinct speakers \(3 utterances each\), but only 3 "):
        sampler_of([2, 3, 3, 3], 4, 3, reuse_utterances=False)


def test_fewer_utterances_of_a_speaker_in_an_epoch_than_in_a_batch_are_refused_with_the_numbers():
    with pytest.raises(InputError, match=r"max_utterances_per_speaker: 2 is less than the 3 utterances"):
        sampler_of([5, 5], 2, 3, 2)


@pytest.mark.parametrize(
    ("counts", "arguments", "message"),
    [
        ([6, 6, 7], (2, 2, None), r"crc32 of the utterances' speakers \d+, now \d+"),
        ([6, 6, 6], (3, 2, None), "num_speakers_per_batch 2, now 3"),
        ([6, 6, 6], (2, 3, None), "utterances_per_speaker 2, now 3"),
        ([6, 6, 6], (2, 2, 4), "max_utterances_per_speaker None, now 4"),
    ],
)
def test_a_state_of_other_data_or_settings_is_refused(counts, arguments, message):
    sampler = sampler_of([6, 6, 6], 2, 2)
    state = sampler.state_after(next(sampler))
    with pytest.raises(InputError, match=message):
        sampler_of(counts, *arguments).load_state_dict(state)
    with pytest.raises(InputError, match="seed 1, now 2"):
        sampler_of([6, 6, 6], 2, 2, seed=2).load_state_dict(state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"carried": []}, "carried, due, epoch, made_for, position, taken where due, epoch"),
        ({"position": 99}, "position 99 in epoch 0, which has 4 batches"),
        ({"position": 0}, "position 0"),
        ({"taken": [0, 0]}, "taken is no list of 3 counts"),
        ({"due": [0, 0, -1]}, "due is no list of 3 counts of 0 or more"),
        ({"taken": [0, 0, 1]}, "no multiples of 2"),
    ],
)
def test_a_state_that_cannot_be_is_refused(change, message):
    sampler = sampler_of([6, 6, 6], 2, 2)
    state = sampler.state_after(next(sampler))
    with pytest.raises(InputError, match=message):
        sampler_of([6, 6, 6], 2, 2).load_state_dict({**state, **change})


@given(st.lists(st.floats(0, 10) | st.just(np.inf), unique=True, min_size=1, max_size=30), st.data(), st.floats(0, 10))
def test_the_smallest_are_found_whatever_the_bound(values, data, bound):
    count = data.draw(st.integers(1, len(values)))
    expected = sorted(range(len(values)), key=values.__getitem__)[:count]
    assert smallest(np.array(values), count, bound).tolist() == sorted(expected)


def test_concatenated_ranges_by_hand():
    np.testing.assert_array_equal(concatenated_ranges(np.array([2, 0, 3])), [0, 1, 0, 1, 2])
    assert len(concatenated_ranges(np.array([], dtype=int))) == 0


@pytest.mark.parametrize("used", [1, 3, 4, 5, 7])
def test_batches_of_another_size_go_on_with_what_speakers_are_still_due(used):
    speakers = np.repeat(np.arange(6), [2, 3, 4, 3, 5, 3])
    before = SpeakerSampler(speakers, num_speakers_per_batch=4, seed=5)
    batches = [next(before) for _ in range(used)]
    after = SpeakerSampler(speakers, num_speakers_per_batch=3, seed=5)
    after.go_on_from(before.state_after(batches[-1]))
    uses = np.bincount(np.concatenate([batch.utterances for batch in batches]), minlength=len(speakers))
    for _ in range(4 * len(speakers)):
        batch = next(after)
        assert len(batch.utterances) == 3
        uses += np.bincount(batch.utterances, minlength=len(speakers))
        for speaker in range(6):  # each has its own sequence of shuffles, which the change does not break
            assert np.ptp(uses[speakers == speaker]) <= 1
    assert np.ptp(uses) <= 2  # speakers are used alike, less what one of them is still due


def test_batches_of_the_same_size_go_on_as_if_nothing_had_happened():
    speakers = np.repeat(np.arange(6), 4)
    whole, other = (SpeakerSampler(speakers, num_speakers_per_batch=4, seed=5) for _ in range(2))
    batches = [next(whole) for _ in range(3)]
    other.go_on_from(whole.state_after(batches[-1]))
    for _ in range(10):
        assert np.array_equal(next(whole).utterances, next(other).utterances)


@pytest.mark.parametrize("missing", ["made_for", "reuse_utterances"])
def test_batches_of_another_size_do_not_go_on_from_a_state_of_another_version(missing):
    sampler = sampler_of([6, 6, 6], 2, 2)
    state = sampler.state_after(next(sampler))
    (state if missing in state else state["made_for"]).pop(missing)
    with pytest.raises(InputError, match=f"{missing}.* belong; it is of another version"):
        sampler_of([6, 6, 6], 3, 2).go_on_from(state)
