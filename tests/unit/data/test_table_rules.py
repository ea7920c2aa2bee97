"""Rules for the values of tables, on more values than are looked at together."""

from __future__ import annotations

from spk.data.table_rules import VALUES_AT_A_TIME, bad_values


def test_what_breaks_a_rule_is_found_wherever_it_stands_and_named_in_order():
    values = ["100"] * (2 * VALUES_AT_A_TIME + 5)
    values[3], values[VALUES_AT_A_TIME], values[-1] = "0", "", "-1"
    values[VALUES_AT_A_TIME + 1] = "0"
    assert bad_values("utt2num_frames", values) == {
        "0": "'0' is not a whole number above 0",
        "-1": "'-1' is not a whole number above 0",
    }
    assert list(bad_values("utt2num_frames", values[::-1])) == ["-1", "0"]


def test_a_table_without_a_rule_may_hold_anything():
    assert bad_values("text", ["a  b", "-1", ""]) == {}
