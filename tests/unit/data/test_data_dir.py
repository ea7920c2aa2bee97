"""Tables of Kaldi data directories."""

from __future__ import annotations

import os
import re
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spk.data.data_dir import parse_columns, read_table, speakers_to_utterances, write_table
from spk.errors import InputError

WORD = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Z")), min_size=1, max_size=8)
VALUE = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Z")), min_size=1) | st.just("a  b\tc")


@given(st.dictionaries(WORD, VALUE))
def test_a_table_is_read_as_it_was_written_and_sorted(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("table") / "text"
    write_table(path, table)
    assert read_table(path) == table
    assert list(read_table(path)) == sorted(table, key=str.encode)


def test_a_written_table_is_sorted_as_sort_does_in_the_c_locale(tmp_path):
    keys = ["b", "a-b", "a", "B", "a_b", "ä", "a/b", "id10-x", "id1-x", "€", "𝄞", "\uffee"]
    write_table(tmp_path / "table", dict.fromkeys(keys, "x"))
    result = subprocess.run(["sort", "-k1,1", "-C", "table"], cwd=tmp_path, env={**os.environ, "LC_ALL": "C"})
    assert result.returncode == 0


def test_blanks_around_the_rest_do_not_belong_to_it(tmp_path):
    (tmp_path / "text").write_bytes(b"b  two  words \r\na\tx\n  c d")
    assert read_table(tmp_path / "text") == {"b": "two  words", "a": "x", "c": "d"}


def test_only_ascii_blanks_separate(tmp_path):
    (tmp_path / "text").write_bytes("a\u00a0b \u3000c\u3000\n".encode())
    assert read_table(tmp_path / "text") == {"a\u00a0b": "\u3000c\u3000"}


def test_file_names_that_are_not_utf8_survive(tmp_path):
    content = b"a /corpus/caf\xe9.wav\nb /x.wav\n"
    (tmp_path / "wav.scp").write_bytes(content)
    table = read_table(tmp_path / "wav.scp")
    write_table(tmp_path / "copy", table)
    assert (tmp_path / "copy").read_bytes() == content
    assert os.fsencode(table["a"]) == b"/corpus/caf\xe9.wav"


def test_an_empty_file_is_an_empty_table(tmp_path):
    (tmp_path / "text").write_bytes(b"")
    assert read_table(tmp_path / "text") == {}
    assert parse_columns(b"\n") == ([""], [""])


@pytest.mark.parametrize(
    "content, message",
    [
        ("a x\n\nb y\n", ":2: empty line"),
        ("a x\nb\n", ":2: 'b' has no value"),
        ("a x\nb  \n", ":2: 'b' has no value"),
        ("a x\nb y\na x\n", ":3: 'a' stands on line 1 already"),
    ],
)
def test_a_bad_line_is_named_with_its_number(tmp_path, content, message):
    path = tmp_path / "utt2spk"
    path.write_text(content)
    with pytest.raises(InputError, match="^" + re.escape(f"{path}{message}")):
        read_table(path)


def test_spk2utt_turns_utt2spk_round():
    utt2spk = {"b-2": "b", "a-1": "a", "b-1": "b"}
    assert speakers_to_utterances(utt2spk) == {"a": "a-1", "b": "b-1 b-2"}
