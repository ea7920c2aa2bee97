"""Data directories: their tables, and what may be done to them as a whole."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spk.data import subset_data_dir as subset
from spk.data.combine_data import combine_data
from spk.data.copy_data_dir import Renaming, copy_data_dir
from spk.data.data_dir import (
    align,
    distinct,
    parse_columns,
    read_columns,
    read_table,
    rows_of,
    speakers_to_utterances,
    values_of,
    write_parts,
    write_table,
)
from spk.data.fix_data_dir import fix_data_dir
from spk.data.split_data import even_runs, split_data
from spk.data.table_rules import bad_values
from spk.data.validate_data_dir import Checks, validate_data_dir
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


def test_lines_of_all_kinds_are_read_the_same_in_large_files():
    plain = [f"id{number:06d} /corpus/{number}.wav" for number in range(20_000)]
    lines = [*plain, "", "key", "text two  words", "x " + "y" * 300_000, *plain, " lead tab\tbed ", "end y"]
    pairs = [(*line.split(None, 1), "", "")[:2] for line in lines]
    for end in ("", "\n"):
        keys, values = parse_columns(("\n".join(lines) + end).encode())
        assert list(zip(keys, values, strict=True)) == [(key, value.strip()) for key, value in pairs]


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
    for read in (read_table, read_columns):
        with pytest.raises(InputError, match="^" + re.escape(f"{path}{message}")):
            read(path)


def test_spk2utt_turns_utt2spk_round():
    utt2spk = {"b-2": "b", "a-1": "a", "b-1": "b"}
    assert speakers_to_utterances(utt2spk) == {"a": "a-1", "b": "b-1 b-2"}


@given(st.lists(st.sampled_from(["a", "a-1", "b", "ä"])))
def test_distinct_names_are_sorted_and_each_is_there_once(names):
    assert distinct(names) == sorted(set(names))
    assert distinct(iter(sorted(names))) == sorted(set(names))


@given(st.lists(WORD, unique=True), st.lists(WORD, unique=True), st.integers(0, 5))
def test_rows_of_names_are_where_they_stand(known, others, every):
    known = sorted(known)
    wanted = known[:: every + 1] + others
    rows, unknown = rows_of(known, wanted + wanted[:1])
    assert rows == [row for row, name in enumerate(known) if name in wanted]
    assert unknown == sorted(set(others) - set(known))


KEYS = st.sampled_from(["a", "a-1", "a-2", "b", "b-1", "c", "d"])


@given(st.dictionaries(KEYS, st.sampled_from("xyz")), st.sets(KEYS), st.randoms(use_true_random=False))
def test_a_table_is_brought_into_an_order_of_keys(table, expected, random):
    rows = list(table.items())
    random.shuffle(rows)
    values, strangers = align([key for key, _ in rows], [value for _, value in rows], sorted(expected))
    assert values == [table.get(key) for key in sorted(expected)]
    assert strangers == sorted(table.keys() - expected)


@given(st.dictionaries(KEYS, st.sampled_from("xyz")), st.lists(KEYS))
def test_values_are_found_whatever_the_order_of_the_table_and_of_what_is_wanted(table, wanted):
    assert values_of(list(table), list(table.values()), wanted) == [table.get(key) for key in wanted]


def test_a_large_table_that_lacks_some_keys_and_has_others_is_brought_into_their_order():
    expected = [f"{number:05d}" for number in range(5_000)]
    table = {key: f"value of {key}" for key in expected[:1_000] + expected[1_001:3_500] + ["x", "y", "01000-", "0"]}
    values, strangers = align(sorted(table), [table[key] for key in sorted(table)], expected)
    assert values == [table.get(key) for key in expected]
    assert strangers == ["0", "01000-", "x", "y"]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.integers(1, 12))
def test_speakers_are_cut_into_runs_with_the_smallest_largest_sum(sizes, num_runs):
    def largest(cuts: tuple[int, ...]) -> int:
        return max(sum(sizes[start:end]) for start, end in itertools.pairwise([0, *cuts, len(sizes)]))

    num_runs_possible = min(num_runs, len(sizes))
    best = min(map(largest, itertools.combinations(range(1, len(sizes)), num_runs_possible - 1)))
    runs = even_runs(sizes, num_runs)
    assert len(runs) == num_runs_possible
    assert max(runs) == best
    # The runs are sums of neighbours, in order.
    ends = list(itertools.accumulate(sizes))
    assert [end for end in itertools.accumulate(runs) if end not in ends] == []
    assert sum(runs) == sum(sizes)


def make_data_dir(path: Path, utterances: dict[str, str], **tables: dict[str, str]) -> Path:
    """A data directory: {utterance: speaker}, further tables by name (feats_scp for feats.scp)."""
    write_table(path / "utt2spk", utterances)
    write_table(path / "spk2utt", speakers_to_utterances(utterances))
    write_table(path / "wav.scp", {utterance: f"/corpus/{utterance}.wav" for utterance in utterances})
    for name, table in tables.items():
        write_table(path / name.replace("_scp", ".scp"), table)
    return path


def content(path: Path) -> dict[str, str]:
    """Every table of a data directory as text."""
    return {file.name: file.read_text() for file in path.iterdir() if file.is_file()}


@pytest.fixture
def data_dir(tmp_path) -> Path:
    """10 utterances of speaker a, 3 of b, 1 of c; two have no features."""
    speakers = "a" * 10 + "bbbc"
    utterances = {f"{speaker}-{number:02d}": speaker for number, speaker in enumerate(speakers)}
    frames = {
        utterance: str(100 - 7 * int(utterance[2:])) for utterance in utterances if utterance not in ("a-03", "c-13")
    }
    path = make_data_dir(
        tmp_path / "data", utterances, utt2num_frames=frames, spk2gender={"a": "m", "b": "f", "c": "f"}
    )
    (path / "feats.yaml").write_text("name: fbank40\n")
    return path


@pytest.mark.parametrize("num_parts", [1, 2, 3, 5, 14])
def test_parts_are_even_and_joined_they_are_the_whole(data_dir, num_parts):
    folder, number, left_out = split_data(data_dir, num_parts)
    assert (folder, number, left_out) == (data_dir / f"split{num_parts}", num_parts, [])
    parts = [folder / str(part) for part in range(1, num_parts + 1)]
    sizes = [len(read_table(part / "utt2spk")) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    for name in ("utt2spk", "wav.scp", "utt2num_frames"):
        assert "".join((part / name).read_text() for part in parts) == (data_dir / name).read_text()
    for part in parts:
        utt2spk = read_table(part / "utt2spk")
        assert read_table(part / "spk2utt") == speakers_to_utterances(utt2spk)
        assert read_table(part / "spk2gender").keys() == set(utt2spk.values())
        assert (part / "feats.yaml").read_text() == "name: fbank40\n"


def test_more_parts_than_utterances_or_speakers_are_not_made(data_dir):
    assert split_data(data_dir, 40)[:2] == (data_dir / "split14", 14)
    assert split_data(data_dir, 40, per_speaker=True)[:2] == (data_dir / "split3spk", 3)


def test_a_split_by_speaker_keeps_speakers_whole(data_dir):
    folder, _, _ = split_data(data_dir, 2, per_speaker=True)
    assert set(read_table(folder / "1" / "utt2spk").values()) == {"a"}
    assert set(read_table(folder / "2" / "utt2spk").values()) == {"b", "c"}


def test_parts_by_speaker_are_sorted_where_speakers_are_no_prefixes(tmp_path):
    write_table(tmp_path / "utt2spk", {"a-1": "z", "a-2": "b", "a-3": "z", "a-4": "b"})
    folder, number, _ = split_data(tmp_path, 1, per_speaker=True)
    assert number == 1
    assert (folder / "1/utt2spk").read_text() == "a-1 z\na-2 b\na-3 z\na-4 b\n"


def test_parts_do_without_the_utterances_that_segments_lack(tmp_path):
    write_table(tmp_path / "utt2spk", {"a-1": "a", "a-2": "a"})
    (tmp_path / "segments").write_text("a-2 r2 0 1\n")
    write_table(tmp_path / "wav.scp", {"r1": "1.wav", "r2": "2.wav"})
    folder, _, notes = split_data(tmp_path, 1)
    assert (folder / "1/utt2spk").read_text() == "a-1 a\na-2 a\n"
    assert (folder / "1/wav.scp").read_text() == "r2 2.wav\n"
    assert notes == [f"{tmp_path}/wav.scp: left out, as utt2spk does not have them: 1: r1"]


def test_a_recording_of_blanks_is_found_and_no_traceback(tmp_path):
    write_table(tmp_path / "utt2spk", {"a-1": "a"})
    write_table(tmp_path / "spk2utt", {"a": "a-1"})
    (tmp_path / "segments").write_text("a-1 \u3000\n")
    (tmp_path / "wav.scp").write_text("r1 1.wav\n")
    findings, _ = validate_data_dir(tmp_path, Checks(files_exist=False))
    assert any("segments" in line for line in findings.lines)
    write_parts(tmp_path, ["a-1"], ["a"], [(tmp_path / "part", [0])])
    assert (tmp_path / "part/wav.scp").read_text() == ""


def test_a_second_split_leaves_nothing_of_the_first(data_dir):
    split_data(data_dir, 2)
    (data_dir / "utt2num_frames").unlink()
    (data_dir / "feats.yaml").unlink()
    (data_dir / "split2" / "1" / "log").mkdir()
    split_data(data_dir, 2)
    names = {path.name for path in (data_dir / "split2" / "1").iterdir()}
    assert names == {"utt2spk", "spk2utt", "wav.scp", "spk2gender", "log"}


def test_what_utt2spk_does_not_have_is_left_out_and_counted(data_dir):
    write_table(data_dir / "utt2num_frames", {**read_table(data_dir / "utt2num_frames"), "x": "3", "y": "4"})
    assert split_data(data_dir, 2)[2] == [f"{data_dir}/utt2num_frames: left out, as utt2spk does not have them: 2: x y"]


def test_a_part_with_segments_has_the_recordings_of_its_utterances(tmp_path):
    segments = {"a-1": "rec2 0 1", "a-2": "rec1 0 1.5", "b-1": "rec2 2 3", "b-2": "rec3 0 1"}
    path = make_data_dir(tmp_path / "data", {utterance: utterance[0] for utterance in segments}, segments=segments)
    write_table(path / "wav.scp", {name: f"/{name}.wav" for name in ("rec1", "rec2", "rec3")})
    split_data(path, 2)
    assert list(read_table(path / "split2" / "1" / "wav.scp")) == ["rec1", "rec2"]
    assert list(read_table(path / "split2" / "2" / "wav.scp")) == ["rec2", "rec3"]


def test_choices_by_number():
    assert subset.spread(range(14), 3) == [0, 4, 9]
    assert subset.spread("abc", 99) == ["a", "b", "c"]
    speakers = list("aaaaaaaaaabbbc")
    assert sorted(subset.per_speaker(speakers, 2)) == [0, 5, 10, 11, 13]
    assert sorted(subset.per_speaker(list("babcb"), 2)) == [0, 1, 2, 3]
    chosen = [speakers[row] for row in subset.whole_speakers(speakers, 4)]
    assert len(chosen) >= 4
    assert Counter(chosen).items() <= Counter(speakers).items()


def test_the_shortest_need_a_length_each(data_dir):
    utterances = list(read_table(data_dir / "utt2spk"))
    with pytest.raises(InputError, match=r"utt2num_frames: utterances without a length, 2: a-03 c-13"):
        subset.shortest(utterances, 3, data_dir)
    known = [utterance for utterance in utterances if utterance not in ("a-03", "c-13")]
    assert [known[row] for row in subset.shortest(known, 3, data_dir)] == ["b-12", "b-11", "b-10"]
    write_table(data_dir / "utt2num_frames", dict.fromkeys(utterances, "many"))
    with pytest.raises(InputError, match=r"utt2num_frames: 'a-00' has 'many', which is no number; run utils/fix"):
        subset.shortest(utterances, 3, data_dir)


def test_subsets_by_list_take_a_list_in_any_order(tmp_path):
    (tmp_path / "list").write_text("c-1 x\n\na-1\nz\nc-1\ny\n")
    assert subset.listed(["a-1", "b-1", "c-1"], tmp_path / "list") == ([0, 2], ["y", "z"])
    assert subset.of_listed(["z", "a-1", "z", "b"], tmp_path / "list") == ([0, 1, 2], ["c-1", "y"])


@pytest.mark.parametrize(
    "name, good, bad",
    [
        ("utt2spk", "a", "a b"),
        ("utt2num_frames", "12", "0"),
        ("utt2num_frames", "7", "1.5"),
        ("utt2dur", "0.5", "-1"),
        ("utt2dur", "3", "nan"),
        ("utt2dur", "3", "inf"),
        ("spk2gender", "f", "female"),
        ("segments", "rec 0 1.5", "rec 2 1"),
        ("segments", "rec 1.5 -1", "rec 0 -2"),
        ("segments", "rec 0 1.5", "rec 0"),
        ("segments", "rec 0 1.5", "rec 0 x"),
    ],
)
def test_values_that_make_no_sense(name, good, bad):
    assert list(bad_values(name, [good, bad, good])) == [bad]


@given(st.randoms(use_true_random=False), st.data())
def test_whatever_is_broken_a_fixed_directory_is_valid(tmp_path_factory, random, data):
    """Drop, repeat, shuffle, blank and spoil lines of every table at random; fix; validate; and nothing more to fix."""
    path = tmp_path_factory.mktemp("broken")
    utterances = {f"{speaker}-{number}": speaker for speaker in "abc" for number in range(6)}
    make_data_dir(
        path,
        utterances,
        feats_scp=dict.fromkeys(utterances, "/feats.ark:3"),
        utt2num_frames=dict.fromkeys(utterances, "100"),
        text=dict.fromkeys(utterances, "two words"),
        spk2gender=dict.fromkeys("abc", "m"),
    )
    if data.draw(st.booleans()):
        write_table(path / "segments", {utterance: f"rec{index % 4} 0 1" for index, utterance in enumerate(utterances)})
        write_table(path / "wav.scp", {f"rec{index}": "/x.wav" for index in range(4)})
    for name in ("wav.scp", "utt2spk", "feats.scp", "utt2num_frames", "text", "spk2gender", "segments"):
        if not (path / name).exists():
            continue
        lines = (path / name).read_text().splitlines()
        for _ in range(data.draw(st.integers(0, 3))):
            index = random.randrange(len(lines))
            change = random.choice(["drop", "repeat", "blank", "no value", "bad value", "stranger"])
            if change == "drop" and len(lines) > 1:
                del lines[index]
            elif change == "repeat":
                lines.insert(random.randrange(len(lines)), lines[index] + "0")
            elif change == "blank":
                lines.insert(index, random.choice(["", "  "]))
            elif change == "no value":
                lines[index] = (lines[index].split() or ["x"])[0]
            elif change == "bad value" and name != "text":
                lines[index] += " 1 2 3"
            elif change == "stranger":
                lines.append("z-9 1")
        if data.draw(st.booleans()):
            random.shuffle(lines)
        (path / name).write_text("\n".join(lines) + data.draw(st.sampled_from(["", "\n", "\r\n"])))
    before = content(path)
    try:
        fixed = fix_data_dir(path)
    except InputError:
        assert content(path) == before
        return
    findings, _ = validate_data_dir(path, Checks(files_exist=False))
    assert findings.lines == []
    for name in fixed.changed:
        assert (path / ".backup" / name).read_text() == before[name]
    after = content(path)
    assert fix_data_dir(path).changed == []
    assert content(path) == after
    utt2spk = dict(zip(fixed.utterances, fixed.speakers, strict=True))
    assert utt2spk == read_table(path / "utt2spk")
    assert utt2spk.items() <= {**utterances, "z-9": "1"}.items()


def test_ids_that_are_not_utf8_are_fixed_too(tmp_path):
    ids = [b"a-\xef\xbf\xae", b"a-\xe9", b"a-\xf0\x9d\x84\x9e", b"a-x"]
    for name in ("utt2spk", "wav.scp"):
        (tmp_path / name).write_bytes(b"".join(utterance + b" a\n" for utterance in reversed(ids)))
    assert len(fix_data_dir(tmp_path).utterances) == 4
    assert validate_data_dir(tmp_path, Checks(files_exist=False))[0].lines == []


def test_a_directory_that_would_be_left_empty_is_not_touched(data_dir):
    write_table(data_dir / "feats.scp", {"x": "/x.ark:3"})
    before = content(data_dir)
    with pytest.raises(InputError, match=r"no utterance is in every table, so nothing is changed: .*feats\.scp"):
        fix_data_dir(data_dir)
    assert content(data_dir) == before


def test_combined_directories_are_the_union(tmp_path):
    one = make_data_dir(
        tmp_path / "one", {"a-1": "a", "c-1": "c"}, utt2dur={"a-1": "2.5", "c-1": "1"}, text={"a-1": "x"}
    )
    two = make_data_dir(tmp_path / "two", {"b-1": "b", "a-2": "a"}, segments={"b-1": "rec 0 1", "a-2": "rec 1 2"})
    write_table(two / "wav.scp", {"rec": "/rec.wav"})
    notes = combine_data(tmp_path / "both", [one, two])
    assert notes == [f"utt2dur is left out: not in {two}", f"text is left out: not in {two}"]
    assert content(tmp_path / "both") == {
        "utt2spk": "a-1 a\na-2 a\nb-1 b\nc-1 c\n",
        "spk2utt": "a a-1 a-2\nb b-1\nc c-1\n",
        "wav.scp": "a-1 /corpus/a-1.wav\nc-1 /corpus/c-1.wav\nrec /rec.wav\n",
        "segments": "a-1 a-1 0 2.5\na-2 rec 1 2\nb-1 rec 0 1\nc-1 c-1 0 1\n",
    }


def test_sources_that_contradict_each_other_are_refused(tmp_path):
    one = make_data_dir(tmp_path / "one", {"a-1": "a"})
    two = make_data_dir(tmp_path / "two", {"a-1": "a", "a-2": "a"})
    assert combine_data(tmp_path / "both", [one, two]) == ["utterances in more than one source, 1: a-1"]
    write_table(two / "wav.scp", {"a-1": "/other.wav", "a-2": "/x.wav"})
    with pytest.raises(InputError, match=r"two/wav.scp: 'a-1' is '/other.wav', but '/corpus/a-1.wav' in another"):
        combine_data(tmp_path / "both", [one, two])


def test_tables_are_merged_whatever_the_order_of_sources_and_lines(tmp_path):
    one = make_data_dir(tmp_path / "one", {"a-2": "a", "c-1": "c"}, utt2augmentation={"c-1": '{"gain": 2}'})
    two = make_data_dir(tmp_path / "two", {"a-1": "a", "b-1": "b"})
    (two / "utt2spk").write_text("b-1 b\na-1 a\n")
    for sources in ([one, two], [two, one]):
        assert combine_data(tmp_path / "both", sources) == []
        assert (tmp_path / "both" / "utt2spk").read_text() == "a-1 a\na-2 a\nb-1 b\nc-1 c\n"
        assert (tmp_path / "both" / "spk2utt").read_text() == "a a-1 a-2\nb b-1\nc c-1\n"
        assert (tmp_path / "both" / "utt2augmentation").read_text() == 'a-1 {}\na-2 {}\nb-1 {}\nc-1 {"gain": 2}\n'


def test_features_of_different_front_ends_are_not_combined(tmp_path):
    one = make_data_dir(tmp_path / "one", {"a-1": "a"}, feats_scp={"a-1": "/a.ark:4"})
    two = make_data_dir(tmp_path / "two", {"b-1": "b"}, feats_scp={"b-1": "/b.ark:4"})
    (one / "feats.yaml").write_text("name: fbank40\n")
    with pytest.raises(InputError, match=r"feats.yaml and .*feats.yaml differ, or only one is there"):
        combine_data(tmp_path / "both", [one, two])
    (two / "feats.yaml").write_text("name: fbank40\n")
    combine_data(tmp_path / "both", [one, two])
    assert (tmp_path / "both" / "feats.yaml").read_text() == "name: fbank40\n"


def test_a_copy_with_new_ids(data_dir, tmp_path):
    (data_dir / "trials").write_text("a-00 a-01 target\n")
    (data_dir / "models_core").write_text("1 a-00 a-02\n")
    notes = copy_data_dir(data_dir, tmp_path / "copy", Renaming(utt_prefix="x-", utt_suffix="-reverb", spk_prefix="x-"))
    names = ("trials", "models_core")
    assert notes == [f"{data_dir}/{name} is left out: it names utterances by their old ids" for name in names]
    utt2spk = read_table(data_dir / "utt2spk")
    assert read_table(tmp_path / "copy" / "utt2spk") == {f"x-{utt}-reverb": f"x-{spk}" for utt, spk in utt2spk.items()}
    assert read_table(tmp_path / "copy" / "utt2uniq") == {f"x-{utt}-reverb": utt for utt in utt2spk}
    assert read_table(tmp_path / "copy" / "spk2gender") == {"x-a": "m", "x-b": "f", "x-c": "f"}
    assert read_table(tmp_path / "copy" / "wav.scp")["x-a-00-reverb"] == "/corpus/a-00.wav"
    assert not (tmp_path / "copy" / "trials").exists()
    assert (
        validate_data_dir(tmp_path / "copy", Checks(files_exist=False, skip=frozenset(["utt2num_frames"])))[0].lines
        == []
    )


def test_a_copy_without_new_ids_is_the_same(data_dir, tmp_path):
    (data_dir / "trials").write_text("a-00 a-01 target\n")
    (data_dir / "models_core").write_text("1 a-00 a-02\n")
    assert copy_data_dir(data_dir, tmp_path / "copy", Renaming()) == []
    assert content(tmp_path / "copy") == content(data_dir)


def test_the_speaker_is_put_before_utterances_that_lack_it(tmp_path):
    path = make_data_dir(tmp_path / "data", {"x-1": "id1", "id1-2": "id1"})
    copy_data_dir(path, tmp_path / "copy", Renaming(add_speaker_prefix=True))
    assert read_table(tmp_path / "copy" / "utt2spk") == {"id1-2": "id1", "id1-x-1": "id1"}
    assert validate_data_dir(tmp_path / "copy", Checks(files_exist=False))[0].lines == []


def test_new_ids_are_sorted_anew_with_their_lines(tmp_path):
    utterances = {"a": "s", "a-1": "t", "a.1": "s"}  # with -x: a-1-x, a-x, a.1-x
    path = make_data_dir(tmp_path / "data", utterances, utt2dur={"a": "1", "a.1": "3"})
    copy_data_dir(path, tmp_path / "copy", Renaming(utt_suffix="-x"))
    assert content(tmp_path / "copy") == {
        "utt2spk": "a-1-x t\na-x s\na.1-x s\n",
        "spk2utt": "s a-x a.1-x\nt a-1-x\n",
        "wav.scp": "a-1-x /corpus/a-1.wav\na-x /corpus/a.wav\na.1-x /corpus/a.1.wav\n",
        "utt2dur": "a-x 1\na.1-x 3\n",
        "utt2uniq": "a-1-x a-1\na-x a\na.1-x a.1\n",
    }


def test_new_ids_that_coincide_are_refused(tmp_path):
    path = make_data_dir(tmp_path / "data", {"x": "a", "a-x": "a"})
    with pytest.raises(InputError, match="utterances 'a-x' and 'x' would both become 'a-x'"):
        copy_data_dir(path, tmp_path / "copy", Renaming(add_speaker_prefix=True))
