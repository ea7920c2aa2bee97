"""Score files: exact round trip, any order of lines, exact coverage of the trials."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import spk.data.scores
from spk.data.scores import read_scores, scores_of_trials, write_scores
from spk.data.trials import Pairs, read_trials
from spk.errors import InputError


@pytest.fixture
def write(tmp_path):
    def write_file(name: str, text: str):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write_file


@pytest.mark.parametrize("binary", [False, True])
@given(
    values=st.sampled_from(["f4", "f8"]).flatmap(
        lambda kind: st.lists(st.floats(width=int(kind[1]) * 8, allow_nan=False), min_size=1, max_size=9).map(
            lambda values: np.array(values, kind)
        )
    )
)
def test_a_score_read_back_is_the_score_written(tmp_path_factory, binary, values):
    path = tmp_path_factory.mktemp("scores") / "scores"
    pairs = Pairs(["é%d", "b"], np.arange(len(values)) % 2, np.zeros(len(values), np.int64))
    write_scores(path, pairs, values, binary)
    scores = read_scores(path)
    assert scores.values.astype(values.dtype).tobytes() == values.tobytes()
    assert [scores.names(line) for line in range(len(values))] == [pairs.names(line) for line in range(len(values))]


def test_many_lines_are_written_in_parts(tmp_path, monkeypatch):
    pairs = Pairs(["a", "b", "c"], np.array([0, 1, 2, 0, 1]), np.array([1, 2, 0, 0, 1]))
    write_scores(tmp_path / "whole", pairs, np.arange(5) / 3)
    monkeypatch.setattr(spk.data.scores, "LINES_PER_WRITE", 2)
    write_scores(tmp_path / "parts", pairs, np.arange(5) / 3)
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()
    assert (tmp_path / "whole").read_text().splitlines()[1] == "b c 0.33333333333333331"


PAIRS = Pairs(["a", "b", "c"], np.array([0, 1, 2]), np.array([1, 2, 0]))


def test_numpy_reads_a_binary_file_by_itself(tmp_path):
    write_scores(tmp_path / "scores", PAIRS, np.float32([0.5, 1 / 3, -2]), binary=True)
    arrays = np.load(tmp_path / "scores")
    assert arrays["names"].tobytes() == b"a\nb\nc"
    assert arrays["pairs"].tolist() == [[0, 1], [1, 2], [2, 0]] and arrays["values"].dtype == np.float32


@pytest.mark.parametrize("length", [4, 30, 200, -1])
def test_a_binary_file_that_was_cut_off_is_refused(tmp_path, length):
    write_scores(tmp_path / "whole", PAIRS, np.zeros(3), binary=True)
    (tmp_path / "scores").write_bytes((tmp_path / "whole").read_bytes()[:length])
    with pytest.raises(InputError, match=r"scores: is damaged, or no score file \("):
        read_scores(tmp_path / "scores")


def test_any_byte_that_changed_is_refused_or_changes_nothing(tmp_path):
    """Some bytes of a zip file mean nothing: times, attributes, paddings of numpy's headers."""
    write_scores(tmp_path / "whole", PAIRS, np.arange(3.0), binary=True)
    whole = (tmp_path / "whole").read_bytes()
    refused = 0
    for place in range(len(whole)):
        for flipped in (0x01, 0xFF):
            content = bytearray(whole)
            content[place] ^= flipped
            (tmp_path / "scores").write_bytes(content)
            try:
                scores = read_scores(tmp_path / "scores")
            except InputError as error:
                assert "scores" in str(error) and "\n" not in str(error)
                refused += 1
            else:
                assert scores.values.tolist() == [0, 1, 2] and scores.names(1) == "b c"
    assert refused > len(whole)


def test_a_member_that_is_no_array_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "scores", "w") as file:
        for name in ("names", "pairs", "values"):
            file.writestr(f"{name}.npy", b"text")
    with pytest.raises(InputError, match="do not fit each other"):
        read_scores(tmp_path / "scores")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"values": np.array([1.0, np.nan, 2.0])}, "scores:2: the score is NaN"),
        ({"values": np.zeros(2)}, "do not fit each other"),
        ({"values": np.zeros(3, int)}, "do not fit each other"),
        ({"pairs": np.full((3, 2), 3, np.int32)}, "do not fit each other"),
        ({"pairs": np.zeros((3, 2), np.int64)}, "do not fit each other"),
        ({"pairs": np.zeros((0, 2), np.int32), "values": np.zeros(0)}, "do not fit each other"),
        ({"names": np.frombuffer(b"a\nb ", np.uint8)}, "a name is empty, has blanks, or is there twice"),
        ({"names": np.frombuffer(b"a\n", np.uint8)}, "a name is empty, has blanks, or is there twice"),
        ({"names": np.frombuffer(b"a\nb\na", np.uint8)}, "a name is empty, has blanks, or is there twice"),
        ({"names": np.array(["a", "b", object()])}, "is damaged, or no score file"),
        ({"values": None}, "is damaged, or no score file"),
    ],
)
def test_arrays_that_are_no_scores_are_refused(tmp_path, changed, message):
    arrays = {"names": np.frombuffer(b"a\nb", np.uint8), "pairs": np.zeros((3, 2), np.int32), "values": np.zeros(3)}
    arrays = {name: array for name, array in (arrays | changed).items() if array is not None}
    with (tmp_path / "scores").open("wb") as file:
        np.savez(file, **arrays)
    with pytest.raises(InputError, match=message):
        read_scores(tmp_path / "scores")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b 0.5\nb c 1,5\n", "scores:2: score '1,5' is not a number"),
        ("a b 0.5\nb c target\n", "scores:2: score 'target' is not a number"),
        ("a b 0.5\nb c nan\n", "scores:2: the score is NaN"),
        ("a b 0.5\nb 1.5\n", "scores:2: 2 fields"),
    ],
)
def test_a_faulty_score_file_is_refused_with_its_line(write, text, message):
    with pytest.raises(InputError) as error:
        read_scores(write("scores", text))
    assert message in str(error.value)


TRIALS = "a b target\nb c nontarget\na c nontarget\nb a target\n"


def test_scores_come_in_the_order_of_the_trials(write):
    trials = read_trials(write("trials", TRIALS))
    scores = read_scores(write("scores", "a c 3\nb a 4\na b 1\nb c 2\n"))
    assert scores_of_trials(trials, scores, "trials", "scores").tolist() == [1, 2, 3, 4]


def test_a_trial_and_its_score_may_come_twice(write):
    trials = read_trials(write("trials", TRIALS + "a b target\n"))
    once = read_scores(write("scores", "a c 3\nb a 4\na b 1\nb c 2\n"))
    assert scores_of_trials(trials, once, "trials", "scores").tolist() == [1, 2, 3, 4, 1]
    twice = read_scores(write("scores", "a c 3\na b 1\nb a 4\na b 1\nb c 2\n"))
    assert scores_of_trials(trials, twice, "trials", "scores").tolist() == [1, 2, 3, 4, 1]


def test_two_scores_of_a_trial_are_refused_in_the_order_of_the_trials_too(write):
    trials = read_trials(write("trials", TRIALS + "a b target\n"))
    scores = read_scores(write("scores", "a b 1\nb c 2\na c 3\nb a 4\na b 5\n"))
    with pytest.raises(InputError, match=r"another score than in an earlier line for 1 trial \(line 5: a b\)"):
        scores_of_trials(trials, scores, "trials", "scores")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b 1\na c 3\n", "my.scores: no score for 2 trials (line 2: b c; line 4: b a) of my.trials"),
        ("a b 1\nb c 2\na c 3\nb a 4\nc a 5\n", "my.scores: 1 score (line 5: c a) whose trial is not in my.trials"),
        ("a b 1\nb c 2\na c 3\nb a 4\nx a 5\n", "my.scores: 1 score (line 5: x a) whose trial is not in my.trials"),
        ("a b 1\nb c 2\na c 3\nb a 4\na b 5\n", "another score than in an earlier line for 1 trial (line 5: a b)"),
    ],
)
def test_scores_that_do_not_cover_the_trials_exactly_are_counted_and_listed(write, text, message):
    trials, scores = read_trials(write("trials", TRIALS)), read_scores(write("scores", text))
    with pytest.raises(InputError) as error:
        scores_of_trials(trials, scores, "my.trials", "my.scores")
    assert message in str(error.value)


def test_many_missing_scores_are_counted_and_the_first_ones_listed(write):
    trials = read_trials(write("trials", "".join(f"a{n} b nontarget\n" for n in range(99))))
    with pytest.raises(InputError, match=r"no score for 98 trials \(line 2: a1 b; .*line 6: a5 b; \.\.\.\)"):
        scores_of_trials(trials, read_scores(write("scores", "a0 b 1\n")), "trials", "scores")
