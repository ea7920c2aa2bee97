"""Draws of score files: those of all systems together, kept until a file changes."""

from __future__ import annotations

import numpy as np
import pytest
from unit.report.comparison_tree import SYSTEMS, write_tree

from spk.metrics.speaker_bootstrap import draw_metrics
from spk.report import draws
from spk.report.draws import draws_of
from spk.report.results import SEED, find_scores
from spk.report.speakers import speakers_of_trials

NUM_DRAWS = 20


@pytest.fixture
def two(tmp_path):
    """The score files of two systems."""
    write_tree(tmp_path, {name: SYSTEMS[name] for name in ("am_0.2", "dam_0.2")}, seeds=(1,), backends=("cosine",))
    found = find_scores([str(tmp_path / f"exp/{name}_seed1") for name in ("am_0.2", "dam_0.2")])
    return [scores for (scores,) in found.values()]


@pytest.fixture
def counted(monkeypatch):
    """How often draws were made."""
    made = []
    monkeypatch.setattr(draws, "draw_metrics", lambda *words: made.append(1) or draw_metrics(*words))
    return made


def test_each_system_has_the_same_draws_as_all_together(two):
    trials = two[0].read()[0]
    speakers = speakers_of_trials(trials, two[0].utt2spk, "")
    together = draw_metrics([scores.read()[1] for scores in two], trials.is_target, *speakers, NUM_DRAWS, SEED)
    for place, scores in enumerate(two):
        for _ in ("made", "kept"):
            own = draws_of(scores, NUM_DRAWS)
            assert own.num_speakers == together.num_speakers
            assert np.array_equal(own.values[0], together.values[place])
            assert np.array_equal(own.drawn[:, 0], together.drawn[:, place])


def test_draws_are_made_once_until_a_file_or_their_number_changes(two, counted):
    scores = two[0]
    for _ in range(2):
        draws_of(scores, NUM_DRAWS)
    assert len(counted) == 1
    assert len(draws_of(scores, NUM_DRAWS + 1).drawn) == NUM_DRAWS + 1 and len(counted) == 2
    (utt2spk,) = scores.utt2spk
    utt2spk.write_text(utt2spk.read_text() + "another s000\n")
    draws_of(scores, NUM_DRAWS + 1)
    assert len(counted) == 3
    lines = scores.path.read_text().splitlines(keepends=True)
    first, *rest = (line.rsplit(" ", 1) for line in lines)
    scores.path.write_text("".join([f"{first[0]} 9.5\n", *(" ".join(line) for line in rest)]))
    changed = draws_of(scores, NUM_DRAWS + 1)
    assert len(counted) == 4 and changed.values[0, 0] == draw_metrics_of(scores)


def draw_metrics_of(scores) -> float:
    """The EER as it is now."""
    trials, values = scores.read()
    return draw_metrics([values], trials.is_target, *speakers_of_trials(trials, scores.utt2spk, ""), 2, 1).values[0, 0]


@pytest.mark.parametrize("damaged", [b"", b"PK\x03\x04 no archive", b"nothing"])
def test_damaged_draws_are_made_again(two, counted, damaged):
    made = draws_of(two[0], NUM_DRAWS)
    (kept,) = two[0].path.parent.glob(".*.draws.npz")
    kept.write_bytes(damaged)
    assert np.array_equal(draws_of(two[0], NUM_DRAWS).drawn, made.drawn) and len(counted) == 2
