"""Trial lists in both forms, and every way in which one can be wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spk.data.trials import Trials, read_pairs, read_trials, say_repeated, trial_speakers, write_trials
from spk.errors import InputError


@pytest.fixture
def write(tmp_path):
    def write_text(text: str | bytes):
        path = tmp_path / "trials"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write_text


def as_lines(trials) -> list[tuple[str, str, bool]]:
    names = trials.utterances
    triples = zip(trials.enroll, trials.test, trials.is_target, strict=True)
    return [(names[enroll], names[test], bool(target)) for enroll, test, target in triples]


@pytest.mark.parametrize(
    "text",
    [
        "a b target\nb c nontarget\n",
        "a b target\nb c nontarget",  # no newline at the end
        "a\tb   target \r\n  b c nontarget\r\n",
        "1 a b\n0 b c\n",
        "1 a b\n0 b c",
    ],
)
def test_both_forms_and_any_blanks_are_read(write, text):
    trials = read_trials(write(text))
    assert as_lines(trials) == [("a", "b", True), ("b", "c", False)]
    assert trials.utterances == ["a", "b", "c"]


def test_names_may_be_numbers_or_labels(write):
    assert as_lines(read_trials(write("1 0 target\n0 target nontarget\n"))) == [
        ("1", "0", True),
        ("0", "target", False),
    ]
    assert as_lines(read_trials(write("1 1 0\n0 0 1\n0 1 1\n"))) == [
        ("1", "0", True),
        ("0", "1", False),
        ("1", "1", False),
    ]


def test_bytes_that_are_not_utf8_survive(write):
    trials = read_trials(write(b"a\xff b target\n"))
    assert trials.utterances[0].encode("utf-8", "surrogateescape") == b"a\xff"


def test_a_trial_may_come_twice_with_the_same_label(write):
    assert len(read_trials(write("a b target\na b target\n"))) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "trials: empty"),
        ("\n \n", "trials: empty"),
        ("a b target\n\nb c nontarget\n", "trials:2: 0 fields"),
        ("a b target\na b\n", "trials:2: 2 fields"),
        ("a b target\na b target x\n", "trials:2: 4 fields"),
        ("a b\nc target d e\n", "trials:1: 2 fields"),  # six fields in all
        ("a b\ntarget\n", "trials:1: 2 fields"),
        ("a b target\nb c imposter\n", "trials:2: label 'imposter' is not known"),
        ("1 a b\n0 b c\n2 c d\n", "trials:3: label '2' is not known"),
        ("1 a b\na c target\n", "trials:2: label 'a' is not known"),
        ("a b Target\n", "trials:1: label 'Target' is not known"),
        ("a b target\nb c target\na b nontarget\n", "trials:3: 'a b' has another label than in line 1; 1 pairs"),
    ],
)
def test_a_faulty_list_is_refused_with_its_line(write, text, message):
    with pytest.raises(InputError) as error:
        read_trials(write(text))
    assert message in str(error.value)


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_trials(tmp_path / "nowhere")


def test_speakers_are_found_for_both_sides(write):
    trials = read_trials(write("x-1 y-1 nontarget\nx-1 x-2 target\ny-1 x-2 nontarget\n"))
    enroll, test, names = trial_speakers(trials, {"x-1": "x", "x-2": "x", "y-1": "y", "z-1": "z"})
    assert [names[index] for index in enroll] == ["x", "x", "y"]
    assert [names[index] for index in test] == ["y", "x", "x"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"x-1": "x"}, "2 of 3 utterances have no speaker, as 'y-1'"),
        ({"x-1": "x", "x-2": "w", "y-1": "y"}, "line 2, 'x-1 x-2', is target, but its speakers are 'x' and 'w'; 1 "),
        ({"x-1": "x", "x-2": "x", "y-1": "x"}, "line 1, 'x-1 y-1', is nontarget, but its speakers are 'x' and 'x'; 2 "),
    ],
)
def test_speakers_that_are_missing_or_contradict_the_labels_are_refused(write, table, message):
    trials = read_trials(write("x-1 y-1 nontarget\nx-1 x-2 target\ny-1 x-2 nontarget\n"))
    with pytest.raises(InputError) as error:
        trial_speakers(trials, table)
    assert message in str(error.value)


NAMES = st.text(st.characters(min_codepoint=33, exclude_categories=["Z", "C"]), min_size=1, max_size=4)


@given(st.lists(st.tuples(NAMES, NAMES, st.booleans()), min_size=1, max_size=20, unique_by=lambda line: line[:2]))
def test_what_is_written_is_read(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("lists") / "trials"
    path.write_text("".join(f"{enroll} {test} {'target' if same else 'nontarget'}\n" for enroll, test, same in lines))
    assert as_lines(read_trials(path)) == lines


def test_written_trials_are_the_lines_that_were_read(write, tmp_path, monkeypatch):
    monkeypatch.setattr("spk.data.trials.LINES_PER_WRITE", 2)
    text = b"a b target\na c nontarget\nc b nontarget\n\xff a nontarget\nb a target\n"
    write_trials(tmp_path / "again", read_trials(write(text)))
    assert (tmp_path / "again").read_bytes() == text


def test_lines_that_repeat_a_pair_are_said_once_and_the_other_order_is_another_pair(write, caplog):
    caplog.set_level("INFO")
    path = write("a b target\nb a target\na c nontarget\na b target\na b target\n")
    trials = read_trials(path)
    assert len(trials) == 5 and trials.num_repeated() == 2
    say_repeated(path, trials)
    say_repeated(path, read_trials(write("a b target\nb a target\n")))
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: 2 of 5 lines repeat an earlier pair and count again"
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_field(write):
    assert as_lines(read_trials(write("\ufeff1 a b\n0 b c\n"))) == [("a", "b", True), ("b", "c", False)]


@pytest.mark.parametrize(
    "text", ["a b\nb c\na b\n", "a b\nb c\na b", " a\tb \r\nb  c\r\na b\r\n", "\ufeffa b\nb c\na b\n"]
)
def test_pairs_without_labels_are_read_and_written(write, tmp_path, text):
    pairs = read_pairs(write(text))
    assert not isinstance(pairs, Trials)
    assert [pairs.names(line) for line in range(len(pairs))] == ["a b", "b c", "a b"]
    assert pairs.num_repeated() == 1
    write_trials(tmp_path / "again", pairs)
    assert (tmp_path / "again").read_text() == "a b\nb c\na b\n"


def test_pairs_with_labels_are_trials(write):
    assert as_lines(read_pairs(write("a b target\nb c nontarget\n"))) == [("a", "b", True), ("b", "c", False)]


@pytest.mark.parametrize(
    "text, message",
    [
        ("a b\nb c target\n", "trials:2: 3 fields instead of 2"),
        ("a b target\nb c\n", "trials:2: 2 fields"),
        ("", "empty"),
    ],
)
def test_a_list_is_with_or_without_labels_throughout(write, text, message):
    with pytest.raises(InputError, match=message):
        read_pairs(write(text))


def test_a_missing_list_of_pairs_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file; run the stage that makes it first"):
        read_pairs(tmp_path / "trials")
