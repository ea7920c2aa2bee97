"""Columns of a text file: any blanks, names of any length, and fields whose hashes are the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import spk.data.columns
from spk.data.columns import read_columns
from spk.errors import InputError

FIELDS = st.binary(min_size=1, max_size=20).filter(lambda field: len(field.split()) == 1 and field.strip() == field)
LINES = st.lists(st.tuples(FIELDS, FIELDS, FIELDS), min_size=1, max_size=30)


def check_columns(path, lines) -> None:
    columns = read_columns(path, 3)
    names, index = columns.distinct(0, 2)
    read = [[names[number].encode("utf-8", "surrogateescape") for number in pair] for pair in index.T]
    assert read == [[first, last] for first, _, last in lines]
    assert len(names) == len(set(names)) and [names[n] for n in dict.fromkeys(index.T.ravel().tolist())] == names
    assert columns.fields(1) == [line[1] for line in lines]


@pytest.mark.parametrize("blank", [b" ", b"\t", b" \v "])
@given(lines=LINES)
def test_fields_are_read_and_numbered_by_first_appearance(tmp_path_factory, blank, lines):
    path = tmp_path_factory.mktemp("columns") / "table"
    path.write_bytes(b"".join(blank.join(line) + b"\n" for line in lines))
    if not path.read_bytes().startswith(b"\xef\xbb\xbf"):
        check_columns(path, lines)


def test_fields_of_one_hash_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(spk.data.columns, "MULTIPLIER", np.uint64(0))  # every field has the hash 0
    lines = [(b"a", b"1", b"bb"), (b"bb", b"2", b"ab"), (b"aaaaaaaac", b"3", b"aaaaaaaad"), (b"ba", b"4", b"a")]
    (tmp_path / "table").write_bytes(b"".join(b" ".join(line) + b"\n" for line in lines))
    check_columns(tmp_path / "table", lines)


def test_a_name_may_be_longer_than_is_hashed(tmp_path):
    lines = [(b"x" * 1000 + b"1", b"1", b"a"), (b"x" * 1000 + b"2", b"2", b"x" * 1000 + b"1")]
    (tmp_path / "table").write_bytes(b"".join(b" ".join(line) + b"\n" for line in lines))
    check_columns(tmp_path / "table", lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "empty"),
        (b"\r\n", "empty"),
        (b"a b\nc d e\nf\n", "table:2: 3 fields instead of 2"),
        (b"a\rb\na \n", "table:2: 1 fields instead of 2"),
        (b" a b\nc  d\n\n", "table:3: 0 fields instead of 2"),
    ],
)
def test_a_line_of_other_than_so_many_fields_is_named(tmp_path, text, message):
    (tmp_path / "table").write_bytes(text)
    with pytest.raises(InputError, match=message):
        read_columns(tmp_path / "table", 2)
