"""What is known of the open corpora: their lists' forms, and which of their files have a published MD5."""

from __future__ import annotations

import pytest

from spk.data.checksums import PUBLISHED, read_checksums
from spk.data.open_corpora import CORPORA, fault_of_metadata, fault_of_overlap_list


@pytest.mark.parametrize(
    "content, fault",
    [
        (b"A.J._Buckley\nZo\xc3\xab_O'Brien-Smith\n", ""),
        (b"A.J._Buckley\r\nAamir_Khan id10003\r\n", ""),
        (b"A.J._Buckley\n\n", "line 2, '', is no speaker's name"),
        (b"A.J._Buckley\n<p>gone</p>\n", "line 2, '<p>gone</p>', is no speaker's name"),
        (b"one two three\n", "line 1, 'one two three', is no speaker's name"),
        (b"\xff\xfe", "is no text"),
        (b"", "is empty"),
    ],
)
def test_a_list_of_names_is_told_from_what_is_none(tmp_path, content, fault):
    (tmp_path / "list").write_bytes(content)
    assert fault_of_overlap_list(tmp_path / "list") == fault


def test_the_real_metadata_of_voxceleb2_has_no_fault_and_a_page_has(corpora, tmp_path):
    path = corpora / "voxceleb-lists/vox2_meta.csv"
    if not path.exists():
        pytest.skip(f"no corpora at {path}")
    assert fault_of_metadata(path) == ""
    (tmp_path / "page").write_text("<html>\n")
    assert "line 1, '<html>\\n'" in fault_of_metadata(tmp_path / "page")


def test_every_file_has_a_published_md5_or_is_known_to_have_none():
    names = {file.name for corpus in CORPORA.values() for file in corpus.files}
    assert names - read_checksums(PUBLISHED).keys() == {
        "voxceleb1_sitw_overlap.txt",
        "vox2_meta.csv",
        "speechocean762.tar.gz",
    }


def test_a_mirror_stands_for_each_server():
    file = CORPORA["musan"].files[0]
    assert file.url("") == "https://www.openslr.org/resources/17/musan.tar.gz"
    assert file.url("http://mirror/") == file.url("http://mirror") == "http://mirror/17/musan.tar.gz"
    trials = CORPORA["voxceleb_lists"].files[0]
    assert trials.url("") == "https://www.robots.ox.ac.uk/~vgg/data/voxceleb/meta/veri_test.txt"
    assert trials.url("http://mirror") == "http://mirror/veri_test.txt"
