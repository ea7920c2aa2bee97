"""Which systems are drawn where there are very many."""

from __future__ import annotations

from spk.report.shown import MOST, NUM_BEST, middle, shown_systems, shown_text


def test_few_systems_are_all_drawn_with_scores_or_without():
    eers = {f"s{number}": None if number == 3 else 0.1 for number in range(MOST)}
    assert shown_systems(eers, "s1") == list(eers)
    assert shown_text(MOST, MOST) == ""


def test_of_many_the_best_the_worst_and_the_reference_are_drawn_in_their_order():
    eers = {f"s{number}": ((7 * number) % 31) / 100 for number in range(30)} | {"failed": None}
    by_eer = sorted(range(30), key=lambda number: (7 * number) % 31)
    expected = {f"s{number}" for number in (*by_eer[:NUM_BEST], by_eer[-1], 11)}
    assert by_eer.index(11) not in (*range(NUM_BEST), 29)
    assert shown_systems(eers, "s11") == [name for name in eers if name in expected]
    assert "Of 31 systems the 5 best, the worst and the reference" in shown_text(NUM_BEST + 2, 31)


def test_a_reference_among_the_best_is_drawn_once():
    eers = {f"s{number}": number / 100 for number in range(20)}
    assert shown_systems(eers, "s0") == ["s0", "s1", "s2", "s3", "s4", "s19"]


def test_the_middle_is_the_median_or_the_lower_of_two():
    assert [middle([0.3]), middle([0.3, 0.1, 0.2]), middle([0.4, 0.1, 0.2, 0.3]), middle([2, 1])] == [0, 2, 2, 1]
