"""Trial lists of all pairs against itertools, and the draw from too many of them."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spk.data.all_pairs import PairCounts, draw_distinct, write_all_pairs
from spk.errors import InputError


def utterances(*counts: int) -> dict[str, str]:
    """utt2spk of speakers with so many utterances each."""
    return {f"s{speaker}-a-{n}": f"s{speaker}" for speaker, count in enumerate(counts) for n in range(count)}


def read(path: Path) -> list[tuple[frozenset[str], str]]:
    lines = path.read_text().splitlines()
    return [(frozenset(line.split()[:2]), line.split()[2]) for line in lines]


def all_pairs(utt2spk: dict[str, str]) -> set[tuple[frozenset[str], str]]:
    return {
        (frozenset(pair), "target" if utt2spk[pair[0]] == utt2spk[pair[1]] else "nontarget")
        for pair in itertools.combinations(utt2spk, 2)
    }


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_every_pair_of_different_utterances_stands_once_with_its_label(tmp_path_factory, counts):
    path, utt2spk = tmp_path_factory.mktemp("trials") / "trials", utterances(*counts)
    found = write_all_pairs(path, utt2spk, 10**6, seed=1)
    trials, expected = read(path), all_pairs(utt2spk)
    assert len(trials) == len(expected) and set(trials) == expected
    num_target = sum(label == "target" for _, label in expected)
    num_nontarget = len(expected) - num_target
    assert found == PairCounts(num_target, num_nontarget, num_target, num_nontarget)


def test_the_order_of_the_table_does_not_matter(tmp_path):
    utt2spk = utterances(3, 2, 4)
    write_all_pairs(tmp_path / "one", utt2spk, 10**6, seed=1)
    write_all_pairs(tmp_path / "other", dict(reversed(utt2spk.items())), 10**6, seed=1)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


# 20 speakers with 5 utterances: 200 target and 4750 non-target pairs. 2 with 10: 90 and 100.
@pytest.mark.parametrize(
    ("counts", "max_trials", "target", "nontarget"),
    [
        ([5] * 20, 1000, 200, 800),  # the rare kind is kept whole
        ([5] * 20, 300, 150, 150),  # as long as it is at most half
        ([5] * 20, 4949, 200, 4749),
        ([5] * 20, 4950, 200, 4750),
        ([10] * 2, 100, 50, 50),
        ([10, 1], 12, 6, 6),
        ([10, 1], 30, 20, 10),  # fewer non-target pairs than half of the list
    ],
)
def test_too_many_pairs_are_drawn_without_repeating_one(tmp_path, counts, max_trials, target, nontarget):
    utt2spk = utterances(*counts)
    found = write_all_pairs(tmp_path / "trials", utt2spk, max_trials, seed=3)
    trials, possible = read(tmp_path / "trials"), all_pairs(utt2spk)
    assert (found.target, found.nontarget) == (target, nontarget)
    assert found.all_target + found.all_nontarget == len(possible)
    assert len(set(trials)) == len(trials) and set(trials) <= possible
    assert Counter(label for _, label in trials) == {"target": target, "nontarget": nontarget}


def test_pairs_of_one_session_are_left_out_on_demand(tmp_path):
    # Session s-a is s-a-1 and s-a-3, though s-a-2-1, of session s-a-2, stands between them.
    names = ["s-a-1", "s-a-2-1", "s-a-3", "s-b-1", "t-a-1", "t-a-2", "t-c-1"]
    utt2spk = {name: name[0] for name in names}
    found = write_all_pairs(tmp_path / "trials", utt2spk, 100, seed=1, across_sessions=True)
    trials = read(tmp_path / "trials")
    assert len(trials) == len(set(trials))
    same_session = {frozenset(pair) for pair in [("s-a-1", "s-a-3"), ("t-a-1", "t-a-2")]}
    assert set(trials) == {(pair, label) for pair, label in all_pairs(utt2spk) if pair not in same_session}
    assert found == PairCounts(7, 12, 7, 12)


def test_speakers_of_one_session_each_have_no_pairs_across_sessions(tmp_path):
    with pytest.raises(InputError, match=r"trials: no speaker has utterances of two sessions: names \(as 's0-a-0'\)"):
        write_all_pairs(tmp_path / "trials", utterances(3, 2), 100, seed=1, across_sessions=True)
    with pytest.raises(InputError, match="no speaker has utterances of two sessions"):
        write_all_pairs(tmp_path / "trials", {"a1": "a", "a2": "a", "b1": "b"}, 100, seed=1, across_sessions=True)
    assert not (tmp_path / "trials").exists()


def test_the_draw_follows_the_seed(tmp_path):
    for name, seed in (("a", 1), ("again", 1), ("b", 2)):
        write_all_pairs(tmp_path / name, utterances(*[5] * 20), 400, seed)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "again").read_bytes() != (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("number", [0, 3, 5, 9, 10])
def test_every_choice_of_distinct_integers_is_as_likely(number):
    rng = np.random.default_rng(5)
    draws = [draw_distinct(rng, 10, number) for _ in range(2000)]
    assert all(len(set(draw)) == number and (np.diff(draw) > 0).all() for draw in draws)
    share = np.bincount(np.concatenate(draws).astype(int), minlength=10) / 2000
    assert share == pytest.approx(np.full(10, number / 10), abs=0.05)


def test_names_that_are_not_utf_8_survive(tmp_path):
    name = b"s-\xff".decode("utf-8", "surrogateescape")
    write_all_pairs(tmp_path / "trials", {name: "s", "s-a": "s"}, 10, seed=1)
    assert (tmp_path / "trials").read_bytes() == b"s-a s-\xff target\n"


def test_speakers_whose_utterances_interleave_are_refused_with_what_to_do(tmp_path):
    message = "utterance 'a-2' sorts before 'a-3', but its speaker 'b' after 'a': .*--add-speaker-prefix true"
    with pytest.raises(InputError, match=message):
        write_all_pairs(tmp_path / "trials", {"a-1": "a", "a-2": "b", "a-3": "a"}, 10, seed=1)


LARGE = """
import resource, sys, time
from spk.data.all_pairs import write_all_pairs
utt2spk = {f"s{speaker:04d}-a-{n:02d}": f"s{speaker:04d}" for speaker in range(1250) for n in range(40)}
begin = time.process_time()
write_all_pairs(sys.argv[1], utt2spk, 2_000_000, seed=1)
print(time.process_time() - begin, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""


def test_two_million_of_a_billion_pairs_take_seconds_and_little_memory(tmp_path):
    command = [sys.executable, "-c", LARGE, str(tmp_path / "trials")]
    seconds, gigabytes = map(float, subprocess.run(command, capture_output=True, check=True).stdout.split())
    assert seconds < 15 and gigabytes < 1.5
    with (tmp_path / "trials").open("rb") as file:
        assert sum(1 for _ in file) == 2_000_000
