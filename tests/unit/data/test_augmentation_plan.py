"""What is drawn for an utterance, and that it depends on nothing but what it should."""

from __future__ import annotations

import collections
import itertools

import numpy as np
import pytest

from spk.data.augmentation import Augmentation
from spk.data.augmentation_plan import Drawing, choose_copies, hashed_numbers
from spk.data.noise_dir import NoiseSet
from spk.errors import InputError

NOISES = NoiseSet([f"/noise/{number}.wav" for number in range(20)], [0.4 * number + 0.3 for number in range(20)])
MUSIC = NoiseSet([f"/music/{number}.wav" for number in range(5)], [120.0] * 5)
SPEECH = NoiseSet([f"/speech/{number}.wav" for number in range(9)], [2.0 * number + 1 for number in range(9)])
ROOMS = NoiseSet([f"/room/{number}.wav" for number in range(30)], [0.5] * 30)
ALL = Drawing(NOISES, MUSIC, SPEECH, ROOMS, speeds=(0.9, 1.1))
UTTERANCES = [f"id{number:04d}-a" for number in range(400)]


def test_the_numbers_are_those_of_the_hash_and_evenly_spread():
    # The first 8 bytes that `printf key | b2sum` prints: the salt of the first block is zeros, as without one.
    first = int.from_bytes(bytes.fromhex("900146c90a20a87d"), "little")
    assert next(hashed_numbers(b"key")) == (first >> 11) / 2**53
    numbers = np.array(list(itertools.islice(hashed_numbers(b"key"), 20000)))
    assert numbers.min() >= 0 and numbers.max() < 1 and len(set(numbers)) == 20000
    counts = np.histogram(numbers, bins=20, range=(0, 1))[0]
    assert np.abs(counts - 1000).max() < 5 * np.sqrt(1000)


def test_a_kind_is_there_when_there_is_something_to_draw_from():
    assert ALL.kinds() == ["noise", "music", "babble", "reverb", "sp0.9", "sp1.1"]
    assert Drawing(music=MUSIC, speeds=(1.1,)).kinds() == ["music", "sp1.1"]


def test_the_same_seed_draws_the_same_and_another_seed_something_else():
    def plan(drawing, utterances):
        return {(kind, name): drawing.draw(kind, name, 7.5) for name in utterances for kind in drawing.kinds()[:4]}

    first = plan(ALL, UTTERANCES)
    assert plan(Drawing(NOISES, MUSIC, SPEECH, ROOMS), reversed(UTTERANCES)) == first
    assert plan(ALL, UTTERANCES[50:60]).items() <= first.items()
    other = plan(Drawing(NOISES, MUSIC, SPEECH, ROOMS, seed=2), UTTERANCES)
    assert sum(other[key] == first[key] for key in first) < 0.05 * len(first)


def test_noises_follow_each_other_with_a_second_between_until_the_end():
    duration_of = dict(zip(NOISES.paths, NOISES.durations, strict=True))
    for name in UTTERANCES:
        additions = ALL.draw("noise", name, 9.3).additions
        assert additions[0].at == 0
        for addition, following in itertools.pairwise(additions):
            assert addition.begin == 0 and addition.seconds == duration_of[addition.path]
            assert following.at == pytest.approx(addition.at + addition.seconds + 1, abs=1e-3)
        last = additions[-1]
        assert last.at < 9.3 <= last.at + duration_of[last.path] + 1
        if last.seconds is None:  # longer than what is left of the utterance: begins where that much is left of it
            assert 0 <= last.begin <= duration_of[last.path] - (9.3 - last.at) + 1e-3
    drawn = collections.Counter(
        addition.path for name in UTTERANCES for addition in ALL.draw("noise", name, 9).additions
    )
    assert drawn.keys() == set(NOISES.paths)


def test_music_is_one_piece_that_begins_anywhere_where_it_lasts_long_enough():
    begins = []
    for name in UTTERANCES:
        (addition,) = ALL.draw("music", name, 20.0).additions
        assert addition.at == 0 and addition.seconds is None and addition.path in MUSIC.paths
        begins.append(addition.begin)
    assert 0 <= min(begins) < 5 and 95 < max(begins) <= 100
    assert ALL.draw("music", "a", 150.0).additions[0].begin == 0


def test_babble_is_three_to_seven_speakers_at_once_each_with_its_own_ratio():
    sizes, snrs = collections.Counter(), collections.Counter()
    for name in UTTERANCES:
        additions = ALL.draw("babble", name, 6.0).additions
        assert all(addition.at == 0 and addition.seconds is None for addition in additions)
        sizes[len(additions)] += 1
        snrs.update(addition.snr for addition in additions)
    assert sorted(sizes) == [3, 4, 5, 6, 7] and min(sizes.values()) > 50
    assert sorted(snrs) == [13, 15, 17, 20] and min(snrs.values()) > 400


def test_ratios_come_from_the_given_ones():
    drawing = Drawing(NOISES, MUSIC, SPEECH, noise_snrs=(3,), music_snrs=(-2.5, 40), babble_snrs=(1,))
    found = {
        kind: {addition.snr for name in UTTERANCES for addition in drawing.draw(kind, name, 5).additions}
        for kind in drawing.kinds()
    }
    assert found == {"noise": {3}, "music": {-2.5, 40}, "babble": {1}}


def test_a_room_comes_alone_or_beside_noise_as_often_as_asked():
    assert {ALL.draw("reverb", name, 5) for name in UTTERANCES} == {Augmentation(rir=path) for path in ROOMS.paths}
    assert all(ALL.draw("music", name, 5).rir is None for name in UTTERANCES)
    often = Drawing(music=MUSIC, rirs=ROOMS, rir_probability=0.3)
    share = np.mean([often.draw("music", name, 5).rir is not None for name in UTTERANCES])
    assert abs(share - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 400)
    always = Drawing(music=MUSIC, rirs=ROOMS, rir_probability=1.0)
    assert all(always.draw("music", name, 5).rir in ROOMS.paths for name in UTTERANCES)


def test_a_speed_is_a_speed_alone():
    assert ALL.draw("sp0.9", "a", 5) == Augmentation(speed=0.9)


def copies_of(utterances, **settings):
    """[(kind, utterance)]"""
    kinds, rows = choose_copies(ALL, utterances, **settings)
    return [(kind, utterances[row]) for kind, row in zip(kinds, rows, strict=True)]


def test_each_utterance_gets_every_kind_or_one_that_is_drawn():
    each = copies_of(UTTERANCES, each=True)
    assert sorted(each) == sorted(itertools.product(ALL.kinds(), UTTERANCES))
    one = copies_of(UTTERANCES, each=False)
    assert [name for _, name in one] == UTTERANCES
    assert min(collections.Counter(kind for kind, _ in one).values()) > 35
    assert set(copies_of(UTTERANCES[10:20], each=False)) <= set(one)


def test_a_number_of_copies_is_drawn_without_replacement():
    few = copies_of(UTTERANCES, each=True, number=600)
    assert len(set(few)) == 600 and set(few) <= set(copies_of(UTTERANCES, each=True))
    assert min(collections.Counter(kind for kind, _ in few).values()) > 60
    with pytest.raises(InputError, match="--number 2401: there are only 2400 copies"):
        choose_copies(ALL, UTTERANCES, each=True, number=2401)
