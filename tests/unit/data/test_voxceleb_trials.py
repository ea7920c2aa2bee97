"""VoxCeleb1's published lists: their lines, their sizes, and every way in which they can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from spk.data.voxceleb_trials import PublishedList, choose_lists, read_list_table, read_voxceleb_trials
from spk.errors import InputError

SHIPPED = Path(__file__).resolve().parents[3] / "local" / "voxceleb_lists.tsv"
A, B, C = "id10001/x-_y6Yqmx31/00001.wav", "id10001/8jEAjG6SegY/00008.wav", "id10002/-ze_eiCFEg0/00003.wav"


@pytest.fixture
def write(tmp_path):
    def write_list(content: str | bytes) -> Path:
        path = tmp_path / "list.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_list


@pytest.mark.parametrize(
    "content",
    [
        f"1 {A} {B}\n0 {A} {C}\n",
        f"1 {A} {B}\n0 {A} {C}",
        f"1\t{A}  {B} \r\n0 {A} {C}\r\n",
        f"\ufeff1 {A} {B}\n0 {A} {C}\n",
    ],
    ids=["as published", "no newline at the end", "tabs and carriage returns", "byte order mark"],
)
def test_paths_become_utterance_ids_in_the_lists_order(write, content):
    trials = read_voxceleb_trials(write(content))
    assert trials.utterances == ["id10001-x-_y6Yqmx31-00001", "id10001-8jEAjG6SegY-00008", "id10002--ze_eiCFEg0-00003"]
    assert (trials.enroll.tolist(), trials.test.tolist()) == ([0, 0], [1, 2])
    assert trials.is_target.tolist() == [True, False]


@pytest.mark.parametrize(
    "line, message",
    [
        (f"2 {A} {B}", "label '2' is not known"),
        (f"1 {A}", "2 fields instead of 3"),
        (f"1 {A} {B} {C}", "4 fields instead of 3"),
        ("", "0 fields instead of 3"),
        (
            f"1 {A} id10001/8jEAjG6SegY/00008.m4a",
            "'id10001/8jEAjG6SegY/00008.m4a' is not a path idNNNNN/video/file.wav",
        ),
        (f"1 {A} wav/{B}", f"'wav/{B}' is not a path"),
        (f"0 {A} id10002/../00001.wav", "'id10002/../00001.wav' is not a path"),
        ("1 Eartha_Kitt/x6uYqmx31kE_0000001.wav Eartha_Kitt/8jEAjG6SegY_0000008.wav", "of VoxCeleb1's first release"),
        (
            f"0 {A} {B}",
            "is a nontarget trial, but has utterances of one speaker; labels that contradict the speakers' ids: 1",
        ),
        (
            f"1 {A} {C}",
            "is a target trial, but has utterances of two speakers; labels that contradict the speakers' ids: 1",
        ),
    ],
)
def test_a_faulty_line_is_refused_with_its_number(write, line, message):
    path = write(f"1 {B} {B}\n0 {B} {C}\n{line}\n0 {C} {B}\n")
    with pytest.raises(InputError) as error:
        read_voxceleb_trials(path)
    assert str(error.value).startswith(f"{path}:3: ")
    assert message in str(error.value) and "\n" not in str(error.value)


def test_all_labels_that_the_speakers_contradict_are_counted(write):
    with pytest.raises(InputError, match=r"list\.txt:2: .* labels that contradict the speakers' ids: 3$"):
        read_voxceleb_trials(write(f"1 {A} {B}\n1 {A} {C}\n0 {A} {A}\n1 {B} {C}\n"))


@pytest.mark.parametrize("content", ["", "\n", b"\x00\xff\xfe\x00"])
def test_what_is_no_list_at_all_is_refused(write, content):
    with pytest.raises(InputError, match=r"list\.txt"):
        read_voxceleb_trials(write(content))


def test_a_list_of_another_size_is_refused_with_both_sizes(write):
    path = write(f"1 {A} {B}\n0 {A} {C}\n")
    trials = read_voxceleb_trials(path)
    PublishedList("o", ("list.txt",), 2, 1).check_size(path, trials)
    with pytest.raises(InputError, match=r"has 2 trials \(1 target\), but list o has 3 \(1 target\)"):
        PublishedList("o", ("list.txt",), 3, 1).check_size(path, trials)
    with pytest.raises(InputError, match=r"has 2 trials \(1 target\), but list o has 2 \(2 target\)"):
        PublishedList("o", ("list.txt",), 2, 2).check_size(path, trials)


def test_the_shipped_table_has_the_published_sizes():
    sizes = {one.name: (one.files[0], one.num_trials, one.num_targets) for one in read_list_table(SHIPPED)}
    assert sizes == {
        "o": ("veri_test.txt", 37_720, 18_860),
        "o_cleaned": ("veri_test2.txt", 37_611, 18_802),
        "e": ("list_test_all.txt", 581_480, 290_743),
        "e_cleaned": ("list_test_all2.txt", 579_818, 289_921),
        "h": ("list_test_hard.txt", 552_536, 276_270),
        "h_cleaned": ("list_test_hard2.txt", 550_894, 275_488),
    }


def test_o_has_a_data_directory_of_its_own():
    assert [str(one.output) for one in read_list_table(SHIPPED)] == [
        "vox1_o/trials",
        "vox1_o/trials_cleaned",
        "vox1/trials_e",
        "vox1/trials_e_cleaned",
        "vox1/trials_h",
        "vox1/trials_h_cleaned",
    ]
    assert str(PublishedList("other", ("x",), 1, 1).output) == "vox1/trials_other"


def test_a_name_chooses_its_cleaned_list_too():
    table = read_list_table(SHIPPED)
    assert [one.name for one in choose_lists(table, ["h", "o"])] == ["o", "o_cleaned", "h", "h_cleaned"]
    assert [one.name for one in choose_lists(table, ["e_cleaned"])] == ["e_cleaned"]
    with pytest.raises(InputError, match="--lists x: is not in the table of lists, which has o, o_cleaned, e,"):
        choose_lists(table, ["o", "x"])


def test_the_first_name_that_is_there_is_taken(tmp_path):
    one = PublishedList("o", ("veri_test.txt", "voxceleb1_test_v2.txt"), 1, 1)
    assert one.find(tmp_path) is None
    (tmp_path / "voxceleb1_test_v2.txt").touch()
    assert one.find(tmp_path) == tmp_path / "voxceleb1_test_v2.txt"
    (tmp_path / "veri_test.txt").touch()
    assert one.find(tmp_path) == tmp_path / "veri_test.txt"


HEADER = "list\tfile\ttrials\ttarget trials\n"


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "its first line must be 'list' 'file' 'trials' 'target trials', with tabs between"),
        ("o\tfile.txt\t2\t1\n", "its first line must be"),
        (f"# sizes\n{HEADER}o\tfile.txt\t2\n", ":3: a line is a list, its file, a number of trials"),
        (f"{HEADER}o\tfile.txt\t2\t-1\n", ":2: a line is a list"),
        (f"{HEADER}o\tfile.txt\t2\tmany\n", ":2: a line is a list"),
        (f"{HEADER}o\tfile.txt\t2\t1\no\tfile.txt\t2\t1\n", ":3: list 'o' stands in an earlier line, too"),
        (f"{HEADER}../o\tfile.txt\t2\t1\n", ":2: '../o': a list's name has small letters"),
        (f"{HEADER}o\t\t2\t1\n", ":2: list 'o' has no file"),
        (b"\xff\xfe\x00", "is no text"),
    ],
)
def test_a_faulty_table_is_refused(write, content, message):
    path = write(content)
    with pytest.raises(InputError) as error:
        read_list_table(path)
    assert message in str(error.value) and str(path) in str(error.value)


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file; --table takes"):
        read_list_table(tmp_path / "table")


@pytest.mark.parametrize("name, num_files", [("o", 4715), ("o_cleaned", 4708)])
def test_the_real_lists_have_their_published_sizes(corpora, name, num_files):
    one = next(one for one in read_list_table(SHIPPED) if one.name == name)
    path = one.find(corpora / "voxceleb-lists")
    if path is None:
        pytest.skip(f"no corpora/voxceleb-lists/{one.files[0]}")
    trials = read_voxceleb_trials(path)
    one.check_size(path, trials)
    lines = path.read_text().split("\n")
    assert (len(trials), int(trials.is_target.sum())) == {"o": (37_720, 18_860), "o_cleaned": (37_611, 18_802)}[name]
    assert len(trials.utterances) == num_files
    assert len({utterance[:7] for utterance in trials.utterances}) == 40
    for index in (0, 1, len(trials) - 1):
        label, enroll, test = lines[index].split()
        assert trials.names(index) == f"{enroll} {test}".replace("/", "-").replace(".wav", "")
        assert trials.is_target[index] == (label == "1")
