"""How the tables that are mended are sorted and compared; what mending does is in test_data_dir.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spk.data.fix_data_dir import fix_data_dir, is_content, parse_sorted, sort_lines

KEY = st.sampled_from([b"a", b"a-1", b"a\x01", b"b", b"c", "ä".encode(), b"\xe9", "€".encode(), b""])
BLANK = st.sampled_from([b" ", b"\t", b"  "])
LINE = st.tuples(st.sampled_from([b"", b"", b" "]), KEY, BLANK, st.sampled_from([b"x", b"y", b"x y", b"x\0", b""]))


@given(st.lists(LINE), st.booleans())
def test_lines_are_sorted_by_their_keys_and_those_of_a_key_stay_in_their_order(lines, last_has_newline):
    content = b"\n".join(b"".join(line) for line in lines) + b"\n" * last_has_newline
    expected = []
    for line in content.removesuffix(b"\n").split(b"\n") if content else []:
        words = [word.decode("utf-8", "surrogateescape") for word in line.split(None, 1)]
        expected.append((*words, "", "")[:2])
    expected.sort(key=lambda pair: pair[0])
    assert list(zip(*parse_sorted(content), strict=True)) == [(key, value.rstrip()) for key, value in expected]


@given(st.lists(st.binary(min_size=3, max_size=6).filter(lambda line: not {0, 10} & set(line)), min_size=1))
def test_lines_are_sorted_as_bytes(lines):
    assert sort_lines(b"\n".join(lines)) == b"".join(line + b"\n" for line in sorted(lines))


@pytest.mark.parametrize(
    "content", [b"b x\na x\0\n", b"b x\na x\n" * 500 + b"text " + b"y" * 9_000], ids=["a zero", "a long line"]
)
def test_lines_that_would_not_come_back_or_take_much_memory_stay_as_they_are(content):
    assert sort_lines(content) is None
    assert parse_sorted(content)[0] == sorted(line.split()[0].decode() for line in content.splitlines())


def test_a_file_has_a_content_if_nothing_is_missing_or_beyond(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"a x\nb y\n")
    assert is_content(path, [b"a x\n", b"b y\n"])
    for other in ([b"a x\n"], [b"a x\n", b"b y\n", b"c z\n"], [b"a x\n", b"b z\n"], []):
        assert not is_content(path, other)


def test_of_lines_with_the_same_key_the_first_in_the_file_is_kept(tmp_path):
    (tmp_path / "utt2spk").write_bytes(b"b-1 b\na-1 a\n")
    (tmp_path / "wav.scp").write_bytes(b"b-1 /z.wav\na-1 /a.wav\nb-1 /b.wav\na-1 /a.wav\n")
    fixed = fix_data_dir(tmp_path)
    assert (tmp_path / "wav.scp").read_bytes() == b"a-1 /a.wav\nb-1 /z.wav\n"
    assert fixed.notes == [f"{tmp_path}/wav.scp: of lines with the same id the first is kept, 2: a-1 b-1"]
    assert (tmp_path / ".backup" / "wav.scp").exists()


def test_an_utterance_whose_recording_or_speaker_lacks_a_line_is_dropped_everywhere(tmp_path):
    (tmp_path / "utt2spk").write_text("a-1 a\na-2 a\nb-1 b\nc-1 c\n")
    (tmp_path / "segments").write_text("a-1 rec1 0 1\na-2 rec2 0 1\nb-1 rec1 1 2\nc-1 rec1 2 3\n")
    (tmp_path / "wav.scp").write_text("rec1 /1.wav\n")
    (tmp_path / "spk2gender").write_text("a m\nb f\n")
    (tmp_path / "utt2augmentation").write_text("")
    fixed = fix_data_dir(tmp_path)
    assert (fixed.utterances, fixed.speakers) == (["a-1", "b-1"], ["a", "b"])
    assert fixed.notes == [
        f"{tmp_path}/wav.scp: recordings that it lacks are dropped everywhere, 1: rec2",
        f"{tmp_path}/spk2gender: speakers that it lacks are dropped everywhere, 1: c",
    ]
    assert (tmp_path / "segments").read_text() == "a-1 rec1 0 1\nb-1 rec1 1 2\n"
    assert (tmp_path / "spk2utt").read_text() == "a a-1\nb b-1\n"
    assert fixed.changed == ["utt2spk", "segments", "spk2utt"]
