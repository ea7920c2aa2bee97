"""What a check of a data directory says; how it is printed is in tests/recipes/test_utils.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spk.data.data_dir import group_by_speaker, write_table
from spk.data.validate_data_dir import FILES_REMEMBERED, Checks, different_keys, missing_files, validate_data_dir

KEYS = st.lists(st.sampled_from(["", "a", "a-1", "b", "c", "ä"]))


@given(KEYS, st.sets(st.sampled_from(["a", "a-1", "b", "d"])))
def test_keys_that_a_table_lacks_or_has_beyond_are_those_of_the_sets(tmp_path_factory, keys, expected):
    path = tmp_path_factory.getbasetemp() / "text"
    differences = {
        "lacks utterances of utt2spk": expected - set(keys),
        "has utterances that are not in utt2spk": set(keys) - expected - {""},
    }
    fix = f"(run utils/fix_data_dir.sh {path.parent})"
    assert list(different_keys(path, keys, sorted(expected))) == [
        f": {what}, {len(names)}: {' '.join(sorted(names))} {fix}" for what, names in differences.items() if names
    ]


def test_every_missing_file_is_found_among_more_than_are_remembered(tmp_path):
    (tmp_path / "there").touch()
    there, gone, other = f"{tmp_path}/there", f"{tmp_path}/gone", f"{tmp_path}/other"
    recordings = [there, gone, "sox x |", "", *(f"{tmp_path}/{number}" for number in range(FILES_REMEMBERED)), gone]
    missing = missing_files("wav.scp", recordings)
    assert missing == {path: path for path in recordings if path not in (there, "sox x |", "")}
    pointers = [f"{there}:3", f"{gone}:4[0:2]", f"{gone}:9", f"{other}:x", "cat x |"]
    assert missing_files("feats.scp", pointers) == {
        f"{gone}:4[0:2]": gone,
        f"{gone}:9": gone,
        f"{other}:x": f"{other}:x",
    }


@pytest.fixture
def broken(tmp_path):
    """Out of order, one utterance twice with different speakers, one without a speaker; parts of three recordings."""
    (tmp_path / "utt2spk").write_text("b-1 b\na-2 a\na-1 b\na-1 a\nb-2\n")
    write_table(tmp_path / "spk2utt", {"a": "a-1 a-2", "b": "b-1"})
    write_table(tmp_path / "segments", {"a-1": "rec2 0 1", "a-2": "rec1 0 1", "b-1": "rec2 1 2", "b-2": "rec3 0 1"})
    write_table(tmp_path / "wav.scp", {"rec1": "/1.wav", "rec2": "/2.wav"})
    return tmp_path


def test_the_other_tables_are_held_against_the_sound_lines_of_utt2spk_the_last_of_an_utterance(broken):
    findings, content = validate_data_dir(broken, Checks(files_exist=False, speaker_order=False))
    fix = f"(run utils/fix_data_dir.sh {broken})"
    assert content == "3 utterances of 2 speakers"
    assert findings.lines == [
        f"{broken}/utt2spk:5: 'b-2' has no value {fix}",
        f"{broken}/utt2spk:2: 'a-2' comes after 'b-1', but sorts before it in the C locale {fix}",
        f"{broken}/utt2spk:3: 'a-1' comes after 'a-2', but sorts before it in the C locale {fix}",
        f"{broken}/utt2spk:4: 'a-1' stands on line 3 already {fix}",
        f"{broken}/segments: has utterances that are not in utt2spk, 1: b-2 {fix}",
    ]


def test_a_table_of_some_utterances_may_lack_others_but_have_none_beyond(broken):
    utterances, speakers = ["a-1", "a-2", "b-1"], ["a", "a", "b"]
    for name in ("segments", "wav.scp"):
        (broken / name).unlink()
    write_table(broken / "utt2spk", dict(zip(utterances, speakers, strict=True)))
    write_table(broken / "spk2utt", group_by_speaker(utterances, speakers))
    write_table(broken / "wav.scp", {utterance: f"/{utterance}.wav" for utterance in utterances})
    noise = '[{"kind": "noise"}]'
    write_table(broken / "utt2augmentation", {"a-2": noise, "x": noise})
    lines = validate_data_dir(broken, Checks(files_exist=False))[0].lines
    fix = f"(run utils/fix_data_dir.sh {broken})"
    assert lines[-1] == f"{broken}/utt2augmentation: has utterances that are not in utt2spk, 1: x {fix}"
    assert not any("lacks" in line for line in lines)
