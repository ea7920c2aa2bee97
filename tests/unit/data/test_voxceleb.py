"""VoxCeleb's folders and metadata: who is found where, what belongs to which set, and every way to be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from spk.data.voxceleb import Folder, Remarks, decoding_pipe, find_speakers, list_recordings, part_in_name, set_of
from spk.data.voxceleb_metadata import read_metadata
from spk.errors import InputError


def touch(root: Path, *files: str) -> Path:
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


@pytest.fixture
def metadata(tmp_path):
    (tmp_path / "vox1_meta.csv").write_bytes(
        b"VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet\n"
        b"id10001\tA.J._Buckley\tm\tIreland\tdev\nid10270\tEartha_Kitt\tf\tTrinidad and Tobago\ttest\n"
    )
    (tmp_path / "vox2_meta.csv").write_bytes(
        b"\xef\xbb\xbfVoxCeleb2 ID,VGGFace2 ID,Gender,Set\r\n"
        b"id00012 ,n000012 ,m ,dev \r\n\r\nid00017 ,n000017 ,f ,test "
    )
    return read_metadata([tmp_path / "vox1_meta.csv", tmp_path / "vox2_meta.csv"])


def test_metadata_are_read_with_tabs_or_commas_stray_blanks_and_a_byte_order_mark(metadata):
    said = {name: (f.corpus, f.part, f.gender, f.nationality, f.source[-4:]) for name, f in metadata.items()}
    assert said == {
        "id10001": ("vox1", "dev", "m", "Ireland", "sv:2"),
        "id10270": ("vox1", "test", "f", "Trinidad and Tobago", "sv:3"),
        "id00012": ("vox2", "dev", "m", "", "sv:2"),
        "id00017": ("vox2", "test", "f", "", "sv:4"),
    }


@pytest.mark.parametrize("line", ["id10001\tA\tm\tIreland\tdev", "id10001\tA\tm\tIreland", "id1\tA\tm\tUK\tdev"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_bad_line_of_the_metadata_is_named(tmp_path, line, ending):
    path = tmp_path / "meta.csv"
    header = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet"
    path.write_bytes(ending.join([header, "id10001\tA\tm\tIreland\tdev", line, ""]).encode())
    with pytest.raises(InputError, match=r"meta\.csv:3: .*(already|4 fields|'id1' is no speaker's id)"):
        read_metadata([path])


@pytest.mark.parametrize(
    "row, fault", [("id10001,x,dev", "gender 'x'"), ("id10001,m,train", "set 'train'.*dev or test")]
)
def test_a_value_that_is_not_allowed_is_named(tmp_path, row, fault):
    (tmp_path / "meta.csv").write_text(f"VoxCeleb2 ID,Gender,Set\n{row}\n")
    with pytest.raises(InputError, match=rf"meta\.csv:2: {fault}"):
        read_metadata([tmp_path / "meta.csv"])


def test_a_table_that_is_no_metadata_is_refused(tmp_path):
    (tmp_path / "veri_test.txt").write_text("1 id10270/a/00001.wav id10270/b/00001.wav\n")
    with pytest.raises(InputError, match=r"veri_test\.txt:1: the columns are to be"):
        read_metadata([tmp_path / "veri_test.txt"])


@pytest.mark.parametrize(
    "name, part",
    [
        ("dev", "dev"),
        ("vox1_test_wav", "test"),
        ("vox2_dev_aac", "dev"),
        ("VoxCeleb2-Test", "test"),
        ("dev_m4a", "dev"),
        ("test_corpora", ""),
        ("devices", ""),
        ("latest", ""),
        ("dev_and_test", ""),
        ("wav", ""),
    ],
)
def test_dev_and_test_are_words_in_the_name_of_a_folder(name, part):
    assert part_in_name(name) == part


@pytest.mark.parametrize(
    "root, folder, part",
    [
        (".", "vox1_dev_wav/wav", "dev"),
        (".", "vox1_test_wav/wav", "test"),
        (".", "vox2_test_aac/test/aac", "test"),
        ("vox2_dev_aac", "vox2_dev_aac/dev/aac", "dev"),
        ("vox1_test_wav/wav", "vox1_test_wav/wav", "test"),
        ("voxceleb1/dev/wav", "voxceleb1/dev/wav", "dev"),
        ("voxceleb1/wav", "voxceleb1/wav", ""),
        ("test/corpora", "test/corpora/voxceleb1/wav", ""),  # folders around the root are not VoxCeleb's
        ("test", "test/vox1_dev_wav/wav", "dev"),  # the nearest name counts
        (".", "a/b/c/d", ""),
    ],
)
def test_a_speaker_is_found_and_placed_by_the_nearest_name(tmp_path, root, folder, part):
    touch(tmp_path, f"{folder}/id10001/video/00001.wav", f"{folder}/other/file.wav")
    speakers = find_speakers([str(tmp_path / root)])
    assert list(speakers) == ["id10001"]
    (home,) = speakers["id10001"]
    assert (home.path, home.part) == (str(tmp_path / folder / "id10001"), part)


def test_a_root_without_speakers_is_refused(tmp_path):
    touch(tmp_path, "a/b/c/d/e/f/id10001/v/1.wav", "id100001/v/1.wav")
    for root in (tmp_path, tmp_path / "id100001/v/1.wav"):
        with pytest.raises(InputError, match=f"^{root}: no "):
            find_speakers([str(root)])


def test_the_same_root_twice_gives_each_folder_once(tmp_path):
    touch(tmp_path, "wav/id10001/v/00001.wav")
    assert len(find_speakers([str(tmp_path), f"{tmp_path}/wav/../wav/"])["id10001"]) == 1


@pytest.mark.parametrize(
    "speaker, part, expected",
    [
        ("id10001", "dev", "vox1_dev"),
        ("id11251", "test", "vox1_test"),
        ("id10000", "dev", "vox2_dev"),
        ("id11252", "test", "vox2_test"),
    ],
)
def test_without_metadata_the_number_tells_the_corpus_and_the_folder_the_part(speaker, part, expected):
    assert set_of(speaker, [Folder(f"/x/{part}/{speaker}", part, f"/x/{part}")], {}) == expected


def test_metadata_tell_what_folders_do_not(metadata):
    assert set_of("id10270", [Folder("/wav/id10270")], metadata) == "vox1_test"
    assert set_of("id00012", [Folder("/aac/id00012")], metadata) == "vox2_dev"


def test_contradictions_and_unknown_parts_are_refused(metadata):
    with pytest.raises(InputError, match=r"^/dev/wav/id10270: is in dev by the name of /dev, but in test by .*csv:3"):
        set_of("id10270", [Folder("/dev/wav/id10270", "dev", "/dev")], metadata)
    with pytest.raises(InputError, match=r"tells whether this is dev or test; give --metadata vox1_meta\.csv"):
        set_of("id10270", [Folder("/wav/id10270")], {})
    with pytest.raises(InputError, match=r"--metadata does not have the speaker"):
        set_of("id10271", [Folder("/wav/id10271")], metadata)
    with pytest.raises(InputError, match=r"^/dev/id10271 and /test/id10271: one is in dev and one in test"):
        set_of("id10271", [Folder("/dev/id10271", "dev", "/dev"), Folder("/test/id10271", "test", "/test")], {})


def test_recordings_are_listed_in_the_order_of_their_ids_and_the_rest_is_counted(tmp_path):
    home = touch(
        tmp_path / "id10001",
        *("b/00002.wav", "b/00001.WAV", "a-_b/00001.flac", "a/00003.wav", "a/notes.txt", "a/._00003.wav", "00009.wav"),
        "d/00001.wav/inside",
    )
    (home / "empty").mkdir()
    remarks = Remarks()
    found = list_recordings("id10001", [Folder(str(home))], remarks)
    assert list(found.items()) == [
        ("id10001-a-00003", f"{home}/a/00003.wav"),
        ("id10001-a-_b-00001", f"{home}/a-_b/00001.flac"),
        ("id10001-b-00001", f"{home}/b/00001.WAV"),
        ("id10001-b-00002", f"{home}/b/00002.wav"),
    ]
    assert remarks.no_audio.count == 4 and remarks.no_audio.first[0] == f"{home}/00009.wav"
    assert str(remarks.empty) == f"1 ({home}/empty)"


@pytest.mark.parametrize("order", [1, -1])
def test_the_decoded_copy_of_a_recording_is_taken(tmp_path, order):
    touch(tmp_path, "aac/id00012/v/00001.m4a", "aac/id00012/v/00002.m4a", "flac/id00012/v/00001.flac")
    homes = [Folder(f"{tmp_path}/aac/id00012"), Folder(f"{tmp_path}/flac/id00012")][::order]
    remarks = Remarks()
    found = list_recordings("id00012", homes, remarks)
    assert found == {
        "id00012-v-00001": f"{tmp_path}/flac/id00012/v/00001.flac",
        "id00012-v-00002": f"{tmp_path}/aac/id00012/v/00002.m4a",
    }
    assert str(remarks.superseded) == f"1 ({tmp_path}/aac/id00012/v/00001.m4a)"


@pytest.mark.parametrize("pair", [("x/00001.wav", "x/00001.flac"), ("x/y-z.m4a", "x-y/z.mp4")])
def test_two_recordings_of_the_same_kind_and_id_are_refused_by_name(tmp_path, pair):
    home = touch(tmp_path / "id00012", *pair)
    with pytest.raises(InputError, match="both are 'id00012-") as raised:
        list_recordings("id00012", [Folder(str(home))], Remarks())
    assert all(f"{home}/{file}" in str(raised.value) for file in pair)


@pytest.mark.parametrize("name", ["v/00001 (copy).wav", "a video/00001.wav"])
def test_a_blank_in_a_name_is_refused(tmp_path, name):
    home = touch(tmp_path / "id00012", name)
    with pytest.raises(InputError, match="there is a blank in"):
        list_recordings("id00012", [Folder(str(home))], Remarks())


def test_the_pipe_quotes_what_the_shell_would_read():
    assert decoding_pipe("/a b/it's $(x).m4a") == (
        "ffmpeg -nostdin -loglevel error -i '/a b/it'\"'\"'s $(x).m4a' -vn -ac 1 -ar 16000 -f wav - |"
    )
