"""Who of VoxCeleb is in Speakers in the Wild: by a list of names or ids, and metadata in VoxCeleb's form."""

from __future__ import annotations

from pathlib import Path

import pytest

from spk.data.original_speaker import original
from spk.data.sitw_overlap import Overlap, read_overlap
from spk.errors import InputError

VOX1 = """\
VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet
id10001\tA.J._Buckley\tm\tIreland\tdev
id10002\tA.R._Rahman\tm\tIndia\tdev
id10270\tEartha_Kitt\tf\tUSA\ttest
"""
VOX2 = "\ufeffVoxCeleb2 ID,VGGFace2 ID,Gender,Set\nid00012 ,n000012 ,m ,dev \nid00017 ,n000017 ,m ,test \n"


@pytest.fixture
def files(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vox1_meta.csv").write_text(VOX1)
    (tmp_path / "vox2_meta.csv").write_text(VOX2, encoding="utf-8")
    return tmp_path


def overlap_of(text: str, *metadata: str) -> Overlap:
    Path("overlap.txt").write_text(text)
    return read_overlap("overlap.txt", metadata)


def refused(overlap: Overlap) -> list[str]:
    speakers = ["A.J._Buckley", "A.R._Rahman", "id00012", "id00017", "id10001", "id10002", "id10270"]
    return [speaker for speaker in speakers if overlap.reason(speaker)]


@pytest.mark.parametrize("text", ["A.J._Buckley\n", "id10001", "# who\r\n\r\n A.J._Buckley  # him\r\nid10001\r\n"])
def test_a_speaker_is_refused_by_name_and_by_id_however_the_list_has_him(files, text):
    overlap = overlap_of(text, "vox1_meta.csv")
    assert refused(overlap) == ["A.J._Buckley", "id10001"]
    assert overlap.listed == 1
    assert overlap.reason("id10001") == "on the list"


def test_voxceleb2_s_test_part_is_refused_when_the_metadata_tell_which_it_is(files):
    overlap = overlap_of("A.R._Rahman\n", "vox1_meta.csv", "vox2_meta.csv")
    assert refused(overlap) == ["A.R._Rahman", "id00017", "id10002"]
    assert overlap.reason("id00017") == "VoxCeleb2's test part"
    assert refused(overlap_of("id10001\n", "vox2_meta.csv")) == ["id00017", "id10001"]


def test_ids_need_no_metadata_but_names_do(files):
    assert refused(overlap_of("id10001\nid00012\n")) == ["id00012", "id10001"]
    with pytest.raises(
        InputError, match=r"overlap\.txt:2: 1 of 2 entries are no ids; give --metadata .*: A\.J\._Buckley"
    ):
        overlap_of("id10001\nA.J._Buckley\n")


@pytest.mark.parametrize("entry", ["A.J. Buckley", "a.j._buckley", "id10001 A.J._Buckley", "id19999", "<html>"])
def test_an_entry_that_names_nobody_is_refused_and_nobody_guessed(files, entry):
    with pytest.raises(InputError, match=r"overlap\.txt:2: 1 of 2 entries are neither a VoxCeleb1 ID nor") as caught:
        overlap_of(f"A.R._Rahman\n{entry}\n", "vox1_meta.csv")
    assert str(caught.value).endswith(f": {entry}")


@pytest.mark.parametrize("text", ["", "\n", "# nobody\n"])
def test_an_empty_list_is_refused(files, text):
    with pytest.raises(InputError, match=r"overlap\.txt: names nobody"):
        overlap_of(text, "vox1_meta.csv")


def test_a_name_of_two_speakers_is_refused(files):
    (files / "vox1_meta.csv").write_text(VOX1.replace("A.R._Rahman", "A.J._Buckley"))
    with pytest.raises(InputError, match=r"vox1_meta\.csv:3: 'A\.J\._Buckley' is the name of id10001 already"):
        overlap_of("id10001\n", "vox1_meta.csv")


def test_copies_at_another_speed_are_the_same_person(files):
    overlap = overlap_of("A.J._Buckley\n", "vox1_meta.csv")
    assert overlap.reason("sp0.9-id10001") and overlap.reason("sp1.1-A.J._Buckley")
    assert not overlap.reason("sp0.9-id10002")
    assert [original(name) for name in ("sp1-x", "sp-x", "sports-x", "sp0.9-sp1.1-x")] == [
        "sp1-x",
        "sp-x",
        "sports-x",
        "sp1.1-x",
    ]


def test_speakers_of_whom_nothing_is_known_are_named(files):
    speakers = ["id00017", "id10001", "id10002", "sp0.9-id10002", "somebody"]
    assert overlap_of("id10001\n").unknown(speakers) == ["id00017", "id10002", "sp0.9-id10002", "somebody"]
    assert overlap_of("id10001\n", "vox1_meta.csv").unknown(speakers) == ["id00017", "somebody"]
    assert overlap_of("id10001\n", "vox1_meta.csv", "vox2_meta.csv").unknown(speakers) == ["somebody"]


def test_the_names_of_the_real_metadata_are_found(corpora, tmp_path):
    lists = corpora / "voxceleb-lists"
    if not lists.is_dir():
        pytest.skip(f"no corpora at {lists}")
    (tmp_path / "overlap.txt").write_text("A.J._Buckley\nid10003\n")
    overlap = read_overlap(tmp_path / "overlap.txt", [lists / "vox1_meta.csv", lists / "vox2_meta.csv"])
    assert overlap.listed == 2
    assert overlap.reason("id10001") == overlap.reason("id10003") == "on the list"
    lines = (lists / "vox2_meta.csv").read_text(encoding="utf-8-sig").splitlines()
    testing = {line.split(" ,")[0] for line in lines if line.endswith(",test ")}
    assert len(testing) == 120  # of whom 118 have audio
    assert {who for who, reason in overlap.reason_of.items() if reason == "VoxCeleb2's test part"} == testing
